"""Room 5: latents, and pictures that are edited."""

from book.ch09_1_museum import figures as pictures
from book.ch09_1_museum import look_latents as look
from book.ch09_1_museum.exhibit import Exhibit, Sighting

LATENT = ("tests/library/test_latent.py",)

EXHIBITS = [
    Exhibit(
        name="scale-forgotten",
        title="The latent scale, forgotten",
        file="latent.py",
        right="unscaled = z0.to(self.device) / self.autoencoder.scale",
        wrong="unscaled = z0.to(self.device)",
        story="Latents were multiplied by 1/std for the network, and are decoded as they are.",
        symptom=look.drawn_by_stretched,
        draw=pictures.rows(),
        alt="Above, ten clear white digits on black. Below, the same ten as faint grey outlines.",
        detector=look.there_and_back,
        tests=LATENT,
        seen=(
            Sighting(
                "Open-Sora, issue 493: the scale of another autoencoder, hard-coded",
                "https://github.com/hpcaitech/Open-Sora/issues/493",
            ),
            Sighting(
                "StableDiffusion-PyTorch, issue 33: left out, and harmless as long as std is 1",
                "https://github.com/explainingai-code/StableDiffusion-PyTorch/issues/33",
            ),
            Sighting(
                "diffusers, issue 437: where does 0.18215 come from?",
                "https://github.com/huggingface/diffusers/issues/437",
            ),
        ),
        eye="yes, if std is far from 1",
    ),
    Exhibit(
        name="mask-turned",
        title="The mask, turned over",
        file="latent.py",
        right="return draw * z + (1 - draw) * kept, z0_hat, memory",
        wrong="return (1 - draw) * z + draw * kept, z0_hat, memory",
        story="White means draw anew in one place and keep in another.",
        symptom=look.half_drawn_anew,
        draw=pictures.rows(),
        alt="Above, digits of which the right half is hidden. In the middle, complete digits with "
        "a new right half. Below, complete digits whose old right half has come back.",
        detector=look.only_the_hole_changes,
        tests=LATENT,
        seen=(
            Sighting(
                "diffusers, pull request 4207: black was the hole in Kandinsky's pipeline, white "
                "in all others",
                "https://github.com/huggingface/diffusers/pull/4207",
            ),
            Sighting(
                "onnx-web, issue 188: one tab keeps what the other replaces",
                "https://github.com/ssube/onnx-web/issues/188",
            ),
        ),
        eye="hardly: the pictures are perfect, too perfect",
    ),
    Exhibit(
        name="noised-too-far",
        title="Noised to one time, denoised from another",
        file="latent.py",
        right="z_t = diffuse(self.schedule, self.encode(x), times[0], self.noise(count, seed))",
        wrong="z_t = diffuse(self.schedule, self.encode(x), (times[0] + self.schedule.T // steps)"
        ".clamp(max=self.schedule.T), self.noise(count, seed))",
        story="The picture gets the noise of one stop earlier than the sampler starts from.",
        symptom=look.lightly_edited,
        draw=pictures.rows(),
        alt="Ten digits as given; edited lightly, nearly the same; edited by the planted package, "
        "where strokes of the 2, the 5, the 7 and the 8 are ragged or missing.",
        detector=look.first_latent_fits_its_time,
        tests=("tests/library/test_image_to_image.py",),
        seen=(
            Sighting(
                "stable-diffusion, pull request 533: noise of t + 1, denoising from t; closed "
                "for inactivity",
                "https://github.com/CompVis/stable-diffusion/pull/533",
            ),
            Sighting(
                "InvokeAI, pull request 1946: the same, repaired",
                "https://github.com/invoke-ai/InvokeAI/pull/1946",
            ),
        ),
        eye="with few steps and little strength",
    ),
]
