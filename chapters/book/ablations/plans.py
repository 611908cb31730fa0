"""Every ablation and sweep of the book, written down before it was run.

A plan varies one thing. What its variants share is in the settings of its laboratory; what each
changes stands here, as ``python -m minildm train --set`` would take it.
"""

from book.ablations.autoencoder_lab import AutoencoderLab, run_autoencoder
from book.ablations.autoguidance_lab import AutoguidanceLab, run_autoguidance
from book.ablations.brightness_lab import BrightnessLab, run_brightness
from book.ablations.digits_lab import (
    DigitsAutoencoderLab,
    DigitsLab,
    ScaleLab,
    run_digits,
    run_digits_autoencoder,
    run_losses,
)
from book.ablations.dit_lab import DiTLab, run_dit
from book.ablations.engine import Plan
from book.ablations.few_steps_lab import FewStepsLab, run_few_steps
from book.ablations.flow_lab import FlowLab, run_flow
from book.ablations.mean_flow_lab import MeanFlowLab, run_mean_flow
from book.ablations.relatives_lab import RelativesLab, run_relatives
from book.ablations.shapes_lab import ContrastiveLab, ShapesLab, run_contrastive, run_shapes
from book.ablations.target_lab import TargetLab, run_target
from book.ablations.times_lab import TimesLab, run_times
from minildm.engine.settings import override
from minildm.recipes import DIGITS_AUTOENCODER as DIGITS_RECIPE
from minildm.recipes import DIGITS_DENOISER

DIGITS_AUTOENCODER = Plan(
    question="What do the pull to N(0, I), the kind of loss and the size of the latents matter?",
    base=DigitsAutoencoderLab(),
    variants={
        "base": (),
        **{f"pull {kl}": (f"autoencoder.kl={kl}",) for kl in ("0", "1e-5", "1e-2", "1e-1", "1")},
        "absolute": ("loss=absolute",),
        "perceptual": ("loss=perceptual",),
        "1 channel": ("autoencoder.model.latent_channels=1",),
        "1 channel, absolute": ("autoencoder.model.latent_channels=1", "loss=absolute"),
        "1 channel, perceptual": ("autoencoder.model.latent_channels=1", "loss=perceptual"),
    },
    run=run_digits_autoencoder,
    seeds=(0, 1, 2),
)

# After 250 steps the absolute error is not yet done with its own loss: a comparison there is one of
# speed. The long trainings are as long as that of the digits model that comes with the book.
LONG = ("autoencoder.fit.steps=1500", "autoencoder.fit.ema=0.99")
DIGITS_LOSSES = Plan(
    question="What does the kind of loss matter in 49 numbers, after a short and a long training?",
    base=DigitsAutoencoderLab(override(DIGITS_RECIPE, ("model.latent_channels=1",))),
    variants={
        "squared": (),
        "absolute": ("loss=absolute",),
        "perceptual": ("loss=perceptual",),
        "squared, 1,500 steps": LONG,
        "absolute, 1,500 steps": (*LONG, "loss=absolute"),
    },
    run=run_losses,
    seeds=(0, 1, 2, 3, 4),
)

AUTOENCODER = Plan(
    question="What detail is lost when pictures are compressed by 4, 8 or 16?",
    base=AutoencoderLab(),
    variants={
        "factor 8": (),
        "factor 4": ("autoencoder.model.factor=4",),
        "factor 16": ("autoencoder.model.factor=16",),
        "factor 16, 16 channels": (
            "autoencoder.model.factor=16", "autoencoder.model.latent_channels=16"
        ),
    },
    run=run_autoencoder,
)  # fmt: skip

DIGITS = Plan(
    question="What do the target, the weights of the loss, averaging and the rate matter?",
    base=DigitsLab(),
    variants={
        "base": (),
        "v, uniform": ("denoiser.min_snr=none",),
        "eps, min-SNR": ("denoiser.parameterization=EPS",),
        "eps, uniform": ("denoiser.parameterization=EPS", "denoiser.min_snr=none"),
        "z0, min-SNR": ("denoiser.parameterization=Z0",),
        "z0, uniform": ("denoiser.parameterization=Z0", "denoiser.min_snr=none"),
        "no EMA": ("denoiser.fit.ema=0",),
        "constant lr": ("denoiser.fit.schedule=constant",),
        "constant lr, no EMA": ("denoiser.fit.schedule=constant", "denoiser.fit.ema=0"),
        **{f"lr {rate}": (f"denoiser.fit.lr={rate}",) for rate in ("1e-4", "1e-3", "1e-2", "3e-2")},
    },
    run=run_digits,
    seeds=(0, 1, 2),
)

# Estimates are clipped at 3: the standard deviation of the latents is 1. On Stable Diffusion's
# schedule v runs too, or one could not tell what the schedule does from what the target does.
TARGETS = Plan(
    question="Does epsilon reach what v reaches, with the remedies that are standard for it?",
    base=TargetLab(override(DIGITS_DENOISER, ("min_snr=none",))),
    variants={
        "v": (),
        "eps, clipped": ("denoiser.parameterization=EPS", "limit=3"),
        "eps, Stable Diffusion's": (
            "denoiser.parameterization=EPS", "schedule=Stable Diffusion's"
        ),
        "v, Stable Diffusion's": ("schedule=Stable Diffusion's",),
    },
    run=run_target,
    seeds=(0, 1, 2),
)  # fmt: skip

# Each scale twice: with an input and a target that grow with it, and as their control, with the
# same noise levels, with those of size 1.
SCALES = tuple(f"{k:g}" for k in (1 / 16, 1 / 4, 1 / 2, 2, 4, 16))
DIGITS_SCALE = Plan(
    question="Of what a wrong scale breaks, how much is due to noise levels, not to the input?",
    base=ScaleLab(),
    variants={
        "base": (),
        **{f"scale {k}": (f"rescale={k}",) for k in SCALES},
        **{f"scale {k}, normalised": (f"rescale={k}", "normalise=true") for k in SCALES},
    },
    run=run_digits,
    seeds=(0, 1, 2, 3, 4),
)

# A first plan of 500 steps was stopped after one training: its base drew 30 % of the captions
# right, too few to compare anything with. So 700 steps, and one variant less (300 pictures).
TEXT_TO_IMAGE = Plan(
    question="What are the network's parts, the number of pictures and the text encoder good for?",
    base=ShapesLab(),
    variants={
        "base": (),
        "no skips": ("without=skips",),
        "no self-attention": ("without=self-attention",),
        "no time": ("without=time",),
        "words by attention only": ("denoiser.model.pool=false",),
        "words by concatenation": ("denoiser.model.conditioning=concat",),
        **{f"{n} pictures": (f"pictures={n}",) for n in (100, 1000, 5000)},
        "contrastive text encoder": ("encoder=contrastive",),
        "random text encoder": ("encoder=random",),
    },
    run=run_shapes,
)

# The same, to be run again: eight seeds, and the controls that the first plan lacked. POOL is the
# recipe of the base: is the mean of the words added to the time embedding, beside cross-attention?
POOL = True
READS = {False: "words by attention only", True: "words by attention and mean"}
MEAN = "denoiser.model.pool=true"
CONCAT = "denoiser.model.conditioning=concat"
TEXT_TO_IMAGE_AGAIN = Plan(
    question=TEXT_TO_IMAGE.question,
    base=override(ShapesLab(), (f"denoiser.model.pool={str(POOL).lower()}",)),
    variants={
        "base": (),
        "no skips": ("without=skips",),
        "no self-attention": ("without=self-attention",),
        "no time": ("without=time",),
        READS[not POOL]: (f"denoiser.model.pool={str(not POOL).lower()}",),
        "words by mean only": (MEAN, "without=cross-attention"),
        "words by concatenation": (CONCAT,),
        "words by concatenation, wider": (CONCAT, "denoiser.model.unet.width=56"),
        **{f"{n} pictures": (f"pictures={n}",) for n in (100, 1000, 5000)},
        "contrastive text encoder": ("encoder=contrastive",),
        "contrastive text encoder, with null": ("encoder=contrastive with null",),
        "random text encoder": ("encoder=random",),
    },
    run=run_shapes,
    seeds=tuple(range(8)),
)

CONTRASTIVE = Plan(
    question="What does a model learn that matches pictures with texts?",
    base=ContrastiveLab(),
    variants={"as planned": ()},
    run=run_contrastive,
)

FIVE = (0, 1, 2, 3, 4)

# After three seeds of the first seven variants the others were added: the rates now bracket the
# best one, and the UNet has as many steps.
DIT = Plan(
    question="What does a transformer do in the place of the UNet, with as many parameters?",
    base=DiTLab(),
    variants={
        "DiT": (),
        "UNet": ("network=unet",),
        "DiT, patch 2": ("dit.patch=2",),
        "DiT, patch 2, lr 1e-3": ("dit.patch=2", "denoiser.fit.lr=1e-3"),
        "DiT, patch 2, lr 1e-2": ("dit.patch=2", "denoiser.fit.lr=1e-2"),
        "UNet, lr 1e-2": ("network=unet", "denoiser.fit.lr=1e-2"),
        "DiT, patch 2, 1,400 steps": ("dit.patch=2", "denoiser.fit.steps=1400"),
        "DiT, patch 2, lr 3e-2": ("dit.patch=2", "denoiser.fit.lr=3e-2"),
        "DiT, patch 2, 700 steps": ("dit.patch=2", "denoiser.fit.steps=700"),
        "DiT, patch 2, 2,800 steps": ("dit.patch=2", "denoiser.fit.steps=2800"),
        "UNet, 1,400 steps": ("network=unet", "denoiser.fit.steps=1400"),
    },
    run=run_dit,
    seeds=FIVE,
)

FEW_STEPS = Plan(
    question="How much of 16 steps can a student learn to do in 8, 4, 2 or 1?",
    base=FewStepsLab(),
    variants={"plain": ()},
    run=run_few_steps,
    seeds=FIVE,
)

BRIGHTNESS = Plan(
    question="Do samples get as dark and as light as the data, and what does the schedule matter?",
    base=BrightnessLab(),
    variants={
        "v, scaled linear": (),
        "eps, scaled linear": ("denoiser.parameterization=EPS",),
        "v, zero terminal SNR": ("schedule=zero terminal SNR",),
    },
    run=run_brightness,
    seeds=(0, 1, 2, 3, 4),
)

# The last two tell a target from a schedule. eps cannot be asked where no signal is left.
FLOW = Plan(
    question="Does flow matching need fewer steps than older schedules, at an equal budget?",
    base=FlowLab(),
    variants={
        "flow": (),
        "v, cosine": ("schedule=cosine", "denoiser.parameterization=V"),
        "eps, linear": ("schedule=linear", "denoiser.parameterization=EPS"),
        "eps, cosine": ("schedule=cosine, clipped", "denoiser.parameterization=EPS"),
        "v, linear": ("schedule=linear", "denoiser.parameterization=V"),
    },
    run=run_flow,
    seeds=FIVE,
)

# Learning rates after two or three trials with seed 0 for each model, and no search.
RELATIVES = Plan(
    question="What do a VAE, a GAN and a diffusion model draw, when all else is equal?",
    base=RelativesLab(),
    variants={
        "VAE": (),
        "GAN, R1": ("model=GAN, R1", "fit.lr=1e-3", "beta1=0.5"),
        "diffusion": ("model=diffusion", "fit.lr=6e-3"),
        "data": ("model=data",),
    },
    run=run_relatives,
    seeds=(0, 1, 2, 3, 4),
)

# Shift 2 in the training would lie between 1 and 3: it is left to the walk, where it costs nothing.
TIMES = Plan(
    question="At which times should a flow be trained, and at which should its walk stop?",
    base=TimesLab(),
    variants={
        f"{draw}, shift {shift}": (f"draw={draw}", f"shift={shift}")
        for draw in ("uniform", "logit-normal")
        for shift in (1, 3)
    },
    run=run_times,
    seeds=FIVE,
)

MEAN_FLOW = Plan(
    question="How near does one step come without a teacher, by the average velocity?",
    base=MeanFlowLab(),
    variants={"mean flow": (), "velocity alone": ("apart=0",)},
    run=run_mean_flow,
    seeds=FIVE,
)

AUTOGUIDANCE = Plan(
    question="Is it better to guide a model away from a worse one than from no text?",
    base=AutoguidanceLab(),
    variants={"700 steps": (), "200 steps": ("denoiser.fit.steps=200",)},
    run=run_autoguidance,
    seeds=FIVE,
)

PLANS = {
    "digits-autoencoder": DIGITS_AUTOENCODER,
    "digits-losses": DIGITS_LOSSES,
    "digits": DIGITS,
    "digits-scale": DIGITS_SCALE,
    "targets": TARGETS,
    "relatives": RELATIVES,
    "autoencoder": AUTOENCODER,
    "contrastive": CONTRASTIVE,
    "text-to-image": TEXT_TO_IMAGE,
    "dit": DIT,
    "few-steps": FEW_STEPS,
    "brightness": BRIGHTNESS,
    "flow": FLOW,
    "times": TIMES,
    "mean-flow": MEAN_FLOW,
    "autoguidance": AUTOGUIDANCE,
}

# Written down, and not run for the book yet: ``ablate NAME --next``. When data/results.json has
# their figures, they take the places of those of the same name.
NEXT = {
    "text-to-image": TEXT_TO_IMAGE_AGAIN,
}
