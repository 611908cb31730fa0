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

Beside them: checks.py (error messages), checkpoint.py (files), data.py (data sets), metrics.py
(measurement), classifier.py (a judge of digits), recipes.py (settings that were measured),
gaussian_case.py (closed forms of chapter 4.3), plots.py, pictures.py and display.py (figures),
exercises/ (checks of the reader's answers), __main__.py (the command line).
"""

__version__ = "0.1.0"
