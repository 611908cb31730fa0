"""minildm: latent diffusion, small enough to be read in one evening, in this order.

    schedule.py     beta -> alpha_bar; time grids
    process.py      the forward process, and its exact posterior
    predict.py      what the network outputs: eps, z0, v or flow
    denoise.py      denoisers: networks, guidance, clipping, exact oracles
    samplers.py     one loop, four steps
    losses.py       training objectives
    autoencoder.py  image <-> latent
    layers.py       residual blocks, attention, the embedding of time
    unet.py         the denoising network
    noise.py        random numbers that depend on a key, not on a batch
    ema.py          the running average of the weights
    fit.py          one training loop for every network
    train.py        training the autoencoder and the denoiser
    latent.py       all of it together: the latent diffusion model
    images.py       pictures in and out: files and PIL images to tensors, and back

The text-to-image model, from pictures to figures:

    shapes.py           captioned shapes: scenes of two objects, drawn exactly
    captions.py         the grammar of their captions
    judge.py            which scene is in a picture, and is it one at all?
    text.py             tokenizer, text encoder, and a UNet that reads
    shapes_training.py  its settings, and its training from nothing
    pixel_space.py      the same on pixels (folding.py), for comparison
    accuracy.py         how often a picture is what was asked for
    features.py         features for a Fréchet distance
    shapes_results.py   all its figures

What training needs besides:

    batches.py, progress.py        samples and settings of a step; records, their file, the bar
    training_data.py, inputs.py    what is given is looked at, and told from other data
    conditions.py, told_once.py    labels and texts; what a model could be told twice
    model_file.py, places.py       a model on disk; where the book's are
    state.py, randomness.py        checkpoints to go on from, bit for bit
    diverged.py, interrupt.py      what stops a training: numbers that are not finite, Ctrl-C
    lock.py                        one training per folder
    optimizers.py, muon.py         AdamW, and the optimiser of long trainings
    accelerator.py                 devices and processes
    settings.py, registry.py       settings from the command line; the trainings by their names

Chapters 5 and 6 look at all this, take it apart, and put it to work:

    diagnosis.py, looking_inside.py  a bug or slow training; what flows through a network
    memory.py                        what a training must hold in memory
    known_answer.py, film.py         samplers where the end is known; a walk as a film
    sampling_results.py              samplers against the number of network evaluations
    guidance_results.py              accuracy, variety and colour for each guidance
    contrastive.py                   matching texts and pictures, the idea of CLIP
    editing.py, edited.py            inpainting, directions, tiles; and what the judge says of it
    editing_results.py               all figures of editing
    ablations/                       trainings that differ in one thing, written down first

The other chapters:

    relatives/                     1: a VAE, a GAN and a diffusion model on the same points
    likelihood.py                  how probable a point is, exactly
    concepts.py                    2: walks in latent space, random latents, when what is decided
    compare_diffusers.py           7: diffusers' schedulers on our grids, with our denoisers
    rosetta.py, ecosystem.py       names and conventions, converted both ways; the tools there are
    outlook.py, scaling.py         8: closed forms; what a training costs, on paper
    dit.py, distillation.py        a transformer in the UNet's place; few steps instead of many
    questions.py                   9: what people ask, and the cells that answer
    museum/                        9.1: classic mistakes, planted into this package in memory
    book_map.py, course.py         0: the map of the book; plans for courses
    notation.py                    symbols, their names in the code, what they mean
    environment_check.py           is this machine fit for the book? (situation.py, extras.py)

Beside them: checks.py (error messages), checkpoint.py (files), data.py and
download.py (data sets), metrics.py (measurement), classifier.py (a judge of digits), recipes.py
(digits models and their figures), cost.py (parameters and operations), machine.py (where figures
were taken), gaussian_case.py and elbo.py (closed forms of chapters 4.3 and 4.2), plots.py,
pictures.py, heatmaps.py, stacked.py, first_page.py, the other files named ..._pictures.py and
display.py (figures), explorer.py, widgets.py and walk_widget.py (sliders),
exercises/ (checks of the reader's answers), __main__.py, commands.py and measures.py (the command
line), results.py and kept.py (measured figures on disk; what an interrupted measurement has found).
"""

__version__ = "0.1.0"
