"""Room 1: schedules, their tables, and the forward process."""

from book.ch09_1_museum import figures as pictures
from book.ch09_1_museum import look_schedule as look
from book.ch09_1_museum.exhibit import Exhibit, Sighting

EXHIBITS = [
    Exhibit(
        name="short-schedule",
        title="The betas of a thousand steps, used for fifty",
        file="schedule.py",
        right="def linear_betas(T: int = 1000, first",
        wrong="def linear_betas(T: int = 50, first",
        story="T is lowered, the betas stay: much of the signal is left where sampling starts.",
        symptom=look.short_walk,
        draw=pictures.clouds(),
        alt="Left, three compact clusters inside their rings. Right, the same clusters, blurred, "
        "with more points in the one nearest the origin and fewer in the other two.",
        detector=look.nothing_left,
        tests=("tests/library/test_schedule.py",),
        seen=(
            Sighting(
                "tiny-diffusion: 50 steps by default, with betas from 0.0001 to 0.02",
                "https://github.com/tanelp/tiny-diffusion/blob/master/ddpm.py",
            ),
            Sighting(
                "EngiOpt, issue 65: 250 steps leave 28 % of the amplitude",
                "https://github.com/IDEALLab/EngiOpt/issues/65",
            ),
        ),
        eye="yes, if you know the data",
    ),
    Exhibit(
        name="beta-for-root",
        title="Noise scaled by its variance",
        file="process.py",
        right="expand(variance.sqrt(), z_s) * eps",
        wrong="expand(variance, z_s) * eps",
        story="beta is the variance of the added noise; its root is what multiplies eps.",
        symptom=look.spread_along_the_chain,
        draw=pictures.curves("step t", "standard deviation of z_t"),
        alt="The right line stays at a standard deviation of 1 for all hundred steps; the planted "
        "one falls below 0.4 and only then turns up a little.",
        detector=look.variance_is_kept,
        tests=("tests/library/test_process.py",),
        seen=(
            Sighting(
                "acids-ircam/diffusion_models, issue 1: a notebook's forward process",
                "https://github.com/acids-ircam/diffusion_models/issues/1",
            ),
            Sighting(
                "the Hugging Face diffusion course, issue 63: 'noise scaled by beta_t' in the text",
                "https://github.com/huggingface/diffusion-models-class/issues/63",
            ),
            Sighting(
                "notebooks of a short course on how diffusion models work, issue 1: the same "
                "root is missing in the jump from clean data",
                "https://github.com/Ryota-Kawamura/How-Diffusion-Models-Work/issues/1",
            ),
        ),
        eye="in noisy data, not in samples",
    ),
    Exhibit(
        name="low-precision-table",
        title="A table in half precision",
        file="schedule.py",
        right="(self.log_alpha_bar / 2).exp(), self.noise_variance.sqrt()",
        wrong="(x := self.alpha_bar.bfloat16().double()).sqrt(), (1 - x).sqrt()",
        story="Near 1, bfloat16 has steps of 1/256: the first levels of noise become none at all.",
        symptom=look.first_noise_levels,
        draw=pictures.curves("time t", "noise level", marker="."),
        alt="The right noise level rises smoothly from t = 1 on. The planted one is exactly zero "
        "for the first ten times, then climbs in a few stairs.",
        detector=look.every_level_is_new,
        tests=("tests/library/test_schedule.py", "tests/library/test_process.py"),
        seen=(
            Sighting(
                "diffusers, pull request 9004: its author found that no noise at all was added at "
                "the first times",
                "https://github.com/huggingface/diffusers/pull/9004",
            ),
        ),
        eye="no",
    ),
    Exhibit(
        name="low-precision-time",
        title="Time in half precision",
        file="layers.py",
        right="t = t.float() * time_scale if t.is_floating_point() else t.float()",
        wrong="t = (t.float() * time_scale if t.is_floating_point() else t).bfloat16().float()",
        story="Above 512, bfloat16 keeps every fourth integer: the network hears another time.",
        symptom=look.time_that_is_heard,
        draw=pictures.curves("time that is given", "heard minus given", marker="."),
        alt="The right line is zero. The planted one is a zigzag between -2 and 2: most times are "
        "heard as one or two steps earlier or later.",
        detector=look.every_time_is_new,
        tests=("tests/library/test_unet.py",),
        seen=(
            Sighting(
                "diffusers, issue 9405: 750 becomes 752 for Flux and Stable Diffusion 3",
                "https://github.com/huggingface/diffusers/issues/9405",
            ),
            Sighting(
                "musubi-tuner, pull request 729: times kept in float32 since bfloat16 has too few "
                "digits between 0 and 1,000",
                "https://github.com/kohya-ss/musubi-tuner/pull/729",
            ),
        ),
        eye="no",
    ),
]
