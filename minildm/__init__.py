"""minildm: latent diffusion, small enough to be read in one evening, in this order.

    interfaces                                      what a schedule, a denoiser, a step is
    schedule  process  predict  denoise  samplers   the core: noise, and the way back to data
    losses  noise  autoencoder                      pictures become latents; what is learned
    layers  condition  unet  words  text            the denoising network, told labels or texts
    train  latent  recipes  data  metrics           training, the model, measuring it
    engine/                                         the loop: read it to resume, or for a GPU
    files/  checks/                                 models and pictures on disk; error messages
    shapes/                                         captioned shapes, and a judge that reads them
    emoji/                                          real drawings with real names
    stable_diffusion/                               the same sampler with real weights

Every name below can be had from here: ``from minildm import LatentDiffusion, sample, ddim``. Its
module, and PyTorch with it, is imported when the name is first asked for.
"""

import difflib
import importlib

__version__ = "0.1.0"

_MODULES = {  # the same as in __init__.pyi, which type checkers and editors read
    "interfaces": "Denoised Denoiser Schedule Step",
    "schedule": "CosineSchedule DiscreteSchedule FlowSchedule cosine_betas expand "
    "linear_betas ramp_betas scaled_linear_betas sigmoid_betas zero_terminal_snr",
    "process": "Gaussian diffuse diffuse_step posterior",
    "predict": "EPS FLOW Parameterization V Z0",
    "denoise": "NetworkDenoiser clipped gaussian_denoiser guided mixture_denoiser network_denoiser",
    "samplers": "Snapshot ddim ddpm dpmpp_2m heun sample",
    "losses": "diffusion_loss kl_loss min_snr_weight random_times reconstruction_loss",
    "noise": "Batch batch_indices keyed_normal keyed_uniform seeded",
    "autoencoder": "Autoencoder AutoencoderConfig Folding FoldingConfig",
    "unet": "UNet UNetConfig",
    "text": "TextEncoder TextEncoderConfig TextUNet TextUNetConfig",
    "words": "Language tokenize vocabulary_of",
    "train": "AutoencoderTraining DenoiserTraining Trained encode_all train_autoencoder "
    "train_both train_denoiser",
    "engine.settings": "FitConfig",
    "engine.fit": "fit",
    "engine.optim": "EMA Muon",
    "engine.records": "Progress",
    "latent": "LatentDiffusion",
    "data": "LabelledSplit digits gaussian mixture ring to_unit_range",
    "metrics": "Coverage frechet_distance frechet_gaussians mode_coverage psnr sliced_wasserstein",
    "files.checkpoint": "CheckpointError",
    "files.images": "save_png to_pil to_tensor",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    """A public name, from its module (PEP 562)."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    near = difflib.get_close_matches(name, __all__, n=3)
    hint = f"; is it {' or '.join(near)}?" if near else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
