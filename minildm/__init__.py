"""minildm: latent diffusion, small enough to be read in one evening, in this order.

    schedule.py     beta -> alpha_bar; time grids
    process.py      the forward process, and its exact posterior
    predict.py      what the network outputs: eps, z0, v or flow
    denoise.py      denoisers: networks, guidance, clipping, exact oracles
    samplers.py     one loop, four steps
    losses.py       training objectives
    autoencoder.py  image <-> latent
    unet.py         the denoising network
    noise.py        noise that belongs to a sample, not to a batch
    train.py        the training engine
    latent.py       all of it together: the latent diffusion model

Beside them: checks.py (error messages), data.py (data sets), metrics.py (measurement), plots.py
(figures), classifier.py (a judge of digits), exercises/ (the book's checks).
"""

__version__ = "0.1.0"
