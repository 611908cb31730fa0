"""Stable Diffusion by the book's own code: its networks, with the names that its files use.

blocks  autoencoder  unet      pictures and latents: Stable Diffusion 1, 2 and XL
tokenizer  text  mmdit         prompts; the network of Stable Diffusion 3
model                          all as a LatentDiffusion, with the book's samplers
names  original  load  lora    from the files that are published

model = load("a folder in the layout of diffusers")
save_png(model.text_to_image("a cat on a mat"), "cat.png")
"""

from minildm.stable_diffusion.load import load
from minildm.stable_diffusion.lora import (
    load_lora,
    loras,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from minildm.stable_diffusion.model import StableDiffusion

__all__ = [
    "StableDiffusion",
    "load",
    "load_lora",
    "loras",
    "merge_lora",
    "remove_lora",
    "unmerge_lora",
]
