"""Room 3: what the network says, and how it is read."""

from book.ch09_1_museum import figures as pictures
from book.ch09_1_museum import look_output as look
from book.ch09_1_museum import scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting

DENOISE = ("tests/library/test_denoise.py",)

EXHIBITS = [
    Exhibit(
        name="sign-of-v",
        title="A sign in the solution for v",
        file="predict.py",
        right="return b_det * z_t - noise_det * output, signal_det",
        wrong="return b_det * z_t + noise_det * output, signal_det",
        story="z0 = signal z_t - noise v is written with a plus.",
        symptom=scene.digits,
        draw=pictures.rows(),
        alt="Above, ten clear handwritten digits from 0 to 9. Below, ten shapeless grey and white "
        "patches.",
        detector=look.answers_can_be_read_back,
        tests=("tests/library/test_predict.py",),
        seen=(
            Sighting(
                "diffusers, pull request 1421: a reviewer saw the plus in time",
                "https://github.com/huggingface/diffusers/pull/1421",
            ),
        ),
        eye="yes",
    ),
    Exhibit(
        name="flow-turned",
        title="A flow that runs the other way",
        file="predict.py",
        right="(-ones_like(signal), ones_like(signal))",
        wrong="(ones_like(signal), -ones_like(signal))",
        story="The velocity is taken from noise to data, but followed from data to noise.",
        symptom=look.down_the_flow,
        draw=pictures.clouds((-3.6, 3.6, -3.6, 3.6)),
        alt="Left, all points have flowed into the three clusters. Right, they have been driven "
        "away from them, and many have left the picture.",
        detector=look.velocity_is_a_derivative,
        tests=("tests/library/test_predict.py",),
        seen=(
            Sighting(
                "rectified-flow-pytorch, issue 14: 'I inverted the direction from noise to data'",
                "https://github.com/lucidrains/rectified-flow-pytorch/issues/14",
            ),
        ),
        eye="yes",
    ),
    Exhibit(
        name="stale-noise",
        title="Clipped z0, stale noise",
        file="denoise.py",
        right="torch.where(noise > 0, (z_t - signal * z0) / noise, plain.eps)",
        wrong="plain.eps",
        story="z0 is clipped, eps is not derived again: together they are no longer z_t.",
        symptom=look.clipped_walk,
        draw=pictures.curves("time t, from noise (right) to data (left)", "missing from z_t"),
        alt="The right line is zero at all times. The planted one rises from zero at pure noise to "
        "almost half a unit near clean data.",
        detector=look.parts_add_up,
        tests=DENOISE,
        seen=(
            Sighting(
                "denoising-diffusion-pytorch, pull request 84: found by comparison with GLIDE",
                "https://github.com/lucidrains/denoising-diffusion-pytorch/pull/84",
            ),
        ),
        eye="as too much contrast",
    ),
    Exhibit(
        name="one-plus-w",
        title="Two meanings of w",
        file="denoise.py",
        right="z0_u + guidance * (z0_c - z0_u), eps_u + guidance * (eps_c - eps_u)",
        wrong="z0_c + guidance * (z0_c - z0_u), eps_c + guidance * (eps_c - eps_u)",
        story="The paper's w is ours minus 1; mixed up, every picture is guided by one too much.",
        symptom=scene.digits,
        draw=pictures.rows(),
        alt="Two rows of ten digits, both clear and nearly the same; a few strokes differ a little "
        "in shape.",
        detector=look.guidance_is_a_line,
        tests=DENOISE,
        seen=(
            Sighting(
                "threestudio, issue 127: reported as wrong, and only another convention",
                "https://github.com/threestudio-project/threestudio/issues/127",
            ),
            Sighting(
                "diffusers, issue 5882: 'does not match the description in the paper?'",
                "https://github.com/huggingface/diffusers/issues/5882",
            ),
            Sighting(
                "labml, issue 177: a sign in the documentation's formula, while the code is right",
                "https://github.com/labmlai/annotated_deep_learning_paper_implementations/"
                "issues/177",
            ),
        ),
        eye="no",
    ),
    Exhibit(
        name="branches-exchanged",
        title="With and without, exchanged",
        file="denoise.py",
        right="torch.cat([c.condition, u.condition])",
        wrong="torch.cat([u.condition, c.condition])",
        story="Both branches share a call; one list has the condition first, the other last.",
        symptom=scene.digits,
        draw=pictures.rows(),
        alt="Above, the digits 0 to 9 in order, as asked for. Below, digits and scribbles that "
        "are mostly not what was asked for.",
        detector=look.batching_changes_nothing,
        tests=DENOISE,
        seen=(
            Sighting(
                "OneTrainer, issue 775: positive and negative embeddings in different orders",
                "https://github.com/Nerogar/OneTrainer/issues/775",
            ),
        ),
        eye="yes, if you compare with what you asked for",
    ),
    Exhibit(
        name="off-by-one",
        title="Trained at t, asked at t - 1",
        file="denoise.py",
        right="output = self.net(z_t, t.to(z_t.device), self.condition)",
        wrong="output = self.net(z_t, t.to(z_t.device) - 1, self.condition)",
        story="Training counts times from 1, sampling from 0.",
        symptom=scene.digits,
        draw=pictures.rows(difference=20),
        alt="Two rows of ten digits that look exactly alike, and a third row, their difference "
        "twenty times magnified, with faint outlines.",
        detector=look.network_hears_the_time,
        tests=DENOISE,
        seen=(
            Sighting(
                "notebook 18.4 of Understanding Deep Learning: what was trained at the level of "
                "t - 1 is asked at that of t + 1",
                "https://github.com/udlbook/udlbook/blob/main/Notebooks/Chap18/"
                "18_4_Families_of_Diffusion_Models.ipynb",
            ),
        ),
        eye="no",
    ),
]
