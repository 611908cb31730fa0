"""Latent diffusion's relatives, small enough to be trained in seconds each, on points in the plane.

networks.py    the same kind of network for all
models.py      VAE, GAN and diffusion model, with one interface: ``turns`` and ``sample``
training.py    one loop for all, and what is noted on the way
comparison.py  the data, the settings, the figures of each model, and all of it over seeds
figures.py     their pictures
timeline.py    who came when
adjectives.py  the article's adjectives as numbers
"""
