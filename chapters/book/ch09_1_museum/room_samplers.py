"""Room 2: samplers, and the grids they walk on."""

from book.ch09_1_museum import figures as pictures
from book.ch09_1_museum import look_samplers as look
from book.ch09_1_museum.exhibit import Exhibit, Sighting

SAMPLERS = ("tests/library/test_samplers.py",)

EXHIBITS = [
    Exhibit(
        name="noise-at-the-end",
        title="Noise at the last step",
        file="samplers.py",
        right="    if schedule(s)[1] == 0:\n        return z0, z0, None\n    return posterior",
        wrong="    if schedule(s)[1] == 0:\n"
        "        return z0 + schedule.transition(t, s)[1].sqrt() * draw(z), z0, None\n"
        "    return posterior",
        story="Fresh noise is added even when the walk arrives at clean data.",
        symptom=look.ancestral_walk,
        draw=pictures.clouds(),
        alt="Left, all points lie inside the rings of the clusters. Right, the same clusters are "
        "blurred, and many points lie outside the rings.",
        detector=look.end_is_noiseless,
        tests=SAMPLERS,
        seen=(
            Sighting(
                "notebooks 18.2 and 18.4 of Understanding Deep Learning: 'if t>0' in a loop whose "
                "last t is 1",
                "https://github.com/udlbook/udlbook/blob/main/Notebooks/Chap18/"
                "18_2_1D_Diffusion_Model.ipynb",
            ),
            Sighting(
                "labml's annotated DDPM: p_sample adds noise at every t",
                "https://github.com/labmlai/annotated_deep_learning_paper_implementations/blob/"
                "master/labml_nn/diffusion/ddpm/__init__.py",
            ),
        ),
        eye="with few steps",
    ),
    Exhibit(
        name="next-time",
        title="The next time, computed again",
        file="samplers.py",
        right="for t, s in pairwise(times):",
        wrong="for t, s in ((t, (t - schedule.T // (len(times) - 1)).clamp(min=0)) "
        "for t in times[:-1]):",
        story="The sampler subtracts T // steps instead of reading the next time from the grid.",
        symptom=look.error_by_steps,
        draw=pictures.curves("steps", "error", log="y"),
        alt="The right error falls slowly with the number of steps. The planted one agrees with it "
        "at 10, 20, 25, 50 and 100 steps, and is larger in between, most of all just above 50.",
        detector=look.steps_follow_the_grid,
        tests=SAMPLERS,
        seen=(
            Sighting(
                "diffusers, issue 11347: DDIM with linspace spacing loses quality",
                "https://github.com/huggingface/diffusers/issues/11347",
            ),
            Sighting(
                "diffusers, issue 12633: the same, reported again seven months later",
                "https://github.com/huggingface/diffusers/issues/12633",
            ),
            Sighting(
                "diffusers, pull request 9384: the same in DDPM, repaired",
                "https://github.com/huggingface/diffusers/pull/9384",
            ),
        ),
        eye="only with an unlucky number of steps",
    ),
    Exhibit(
        name="grid-without-T",
        title="A walk that does not start at T",
        file="schedule.py",
        right="return (2 * self.T * torch.arange(steps, -1, -1)",
        wrong="return (2 * (self.T - self.T // steps) * torch.arange(steps, -1, -1)",
        story="The grid starts one stride below T, but the walk starts from the noise of T.",
        symptom=look.centre_by_steps,
        draw=pictures.curves("steps", "centre is off by", marker="o"),
        alt="The centre of the right samples is close to that of the data for any number of steps. "
        "The planted one is far off with few steps and comes nearer as the stride shrinks.",
        detector=look.grid_is_whole,
        tests=("tests/library/test_schedule.py",),
        seen=(
            Sighting(
                "diffusers, issue 2585: 50 steps start at 981, not at 999",
                "https://github.com/huggingface/diffusers/issues/2585",
            ),
            Sighting(
                "Lin et al. 2024, section 3.3: many samplers never visit the last time",
                "https://arxiv.org/abs/2305.08891",
            ),
        ),
        eye="as grey, average pictures",
    ),
    Exhibit(
        name="heun-at-one-time",
        title="Two evaluations at one time",
        file="samplers.py",
        right="z0 = (z0 + denoise(from_z * z + from_z0 * z0, s).z0) / 2",
        wrong="z0 = (z0 + denoise(from_z * z + from_z0 * z0, t).z0) / 2",
        story="The second evaluation of Heun's step is told the old time.",
        symptom=look.heun_errors,
        draw=pictures.curves("steps", "error", log="xy", marker="o"),
        alt="Both errors fall with the number of steps on logarithmic axes, the right one twice as "
        "steeply: at 160 steps it is almost a hundred times smaller.",
        detector=look.heun_has_order_two,
        tests=SAMPLERS,
        seen=(
            Sighting(
                "diffusers, pull request 1512: the old noise level in the second half of the step, "
                "noisy pictures with v-prediction",
                "https://github.com/huggingface/diffusers/pull/1512",
            ),
        ),
        eye="no, with many steps",
    ),
    Exhibit(
        name="eta-on-the-variance",
        title="Eta squared in one place, not in the other",
        file="samplers.py",
        right="rest = kept + (1 - eta**2) * fresh",
        wrong="rest = kept + (1 - eta) * fresh",
        story="The noise taken out is eta times the variance, the noise put in eta squared.",
        symptom=look.noise_by_eta,
        draw=pictures.curves("eta", "noise / noise level", marker="o"),
        alt="The right noise is what its level says for every eta. The planted one agrees at "
        "eta = 0 and eta = 1 and sags in between.",
        detector=look.any_eta_keeps_the_level,
        tests=SAMPLERS,
        seen=(
            Sighting(
                "DDPM_inversion, issue 12: 'eta * variance' where the square of eta belongs",
                "https://github.com/inbarhub/DDPM_inversion/issues/12",
            ),
        ),
        eye="no: exact at 0 and at 1",
    ),
]

# Planted by us, for an exercise: seen nowhere, and easily written.
HIDDEN = Exhibit(
    name="hidden",
    title="A second-order step of first order",
    file="samplers.py",
    right="h / (2 * h_previous)",
    wrong="h / h_previous",
    story="The line through two estimates is read at the end of the step, not in its middle.",
    symptom=look.dpmpp_2m_errors,
    draw=pictures.curves("steps", "error", log="xy", marker="o"),
    alt="Both errors fall, the planted one with half the slope.",
    detector=look.dpmpp_2m_has_order_two,
    tests=SAMPLERS,
    seen=(),
    eye="no",
)
