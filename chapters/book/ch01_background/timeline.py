"""Who came when: the works that led to latent diffusion, and some that followed.

A date is that of the first submission to arXiv, which is often a year before the printed paper. Its
month can be read off the number: 2112.10752 was the 10,752nd paper of December 2021.
"""

from typing import NamedTuple


class Work(NamedTuple):
    """One work: ``kind`` is the strand it belongs to, ``key`` its entry in references.bib."""

    name: str
    year: int
    month: int
    arxiv: str  # empty where there is no paper on arXiv
    key: str
    kind: str
    idea: str


STRANDS = ("likelihood", "game", "diffusion", "language and latents", "one part replaced")
TIMELINE = (
    Work("VAE", 2013, 12, "1312.6114", "kingma2014vae", "likelihood",
         "encode, decode, and bound the likelihood from below"),
    Work("GAN", 2014, 6, "1406.2661", "goodfellow2014gan", "game",
         "no likelihood: a second network says what looks false"),
    Work("Diffusion", 2015, 3, "1503.03585", "sohldickstein2015diffusion", "diffusion",
         "destroy data step by step, learn each small step back"),
    Work("Score matching + Langevin", 2019, 7, "1907.05600", "song2019score", "diffusion",
         "learn the slope of log p at many noise levels"),
    Work("DDPM", 2020, 6, "2006.11239", "ho2020ddpm", "diffusion",
         "predict the noise with a plain squared error"),
    Work("DDIM", 2020, 10, "2010.02502", "song2021ddim", "diffusion",
         "the same network, far fewer steps, no fresh noise"),
    Work("Score SDE", 2020, 11, "2011.13456", "song2021sde", "diffusion",
         "continuous time, and exact likelihoods by an ODE"),
    Work("CLIP", 2021, 2, "2103.00020", "radford2021clip", "language and latents",
         "match pictures with texts"),
    Work("LDM", 2021, 12, "2112.10752", "rombach2022ldm", "language and latents",
         "diffuse latents instead of pixels, read texts by cross-attention"),
    Work("Classifier-free guidance", 2022, 7, "2207.12598", "ho2022classifierfree",
         "language and latents", "amplify what the condition changes"),
    Work("Stable Diffusion", 2022, 8, "", "stabilityai2022release", "language and latents",
         "a large LDM with public weights"),
    Work("Rectified flow", 2022, 9, "2209.03003", "liu2023rectified", "one part replaced",
         "straight lines from noise to data"),
    Work("Flow matching", 2022, 10, "2210.02747", "lipman2023flow", "one part replaced",
         "learn the velocity of any path from noise to data"),
    Work("DiT", 2022, 12, "2212.09748", "peebles2023dit", "one part replaced",
         "a transformer in place of the UNet"),
    Work("Consistency models", 2023, 3, "2303.01469", "song2023consistency", "one part replaced",
         "one network call instead of a walk"),
    Work("SDXL", 2023, 7, "2307.01952", "podell2024sdxl", "one part replaced",
         "a larger UNet, two text encoders"),
    Work("Stable Diffusion 3", 2024, 3, "2403.03206", "esser2024sd3", "one part replaced",
         "rectified flow, a transformer, three text encoders"),
)  # fmt: skip
