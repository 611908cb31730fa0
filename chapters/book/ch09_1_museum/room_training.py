"""Room 4: data, layers and training."""

from book.ch09_1_museum import figures as pictures
from book.ch09_1_museum import look_training as look
from book.ch09_1_museum.exhibit import Exhibit, Sighting

TRAIN, RESUME = "tests/library/test_train.py", "tests/library/test_resume.py"

EXHIBITS = [
    Exhibit(
        name="zero-to-one",
        title="Pixels from 0 to 1",
        file="data.py",
        right="return x.float() * (2 / largest) - 1",
        wrong="return x.float() / largest",
        story="Images come in [0, 1] where the model was made for [-1, 1].",
        symptom=look.seen_through_the_autoencoder,
        draw=pictures.rows(),
        alt="Three rows of ten digits. Given, white on black; decoded by the right package, the "
        "same; decoded by the planted one, white on a grey, patterned ground.",
        detector=look.data_fill_the_range,
        tests=("tests/library/test_data.py",),
        seen=(
            Sighting(
                "denoising-diffusion-pytorch, issue 20: pixels from 0 to 255 in, noise out",
                "https://github.com/lucidrains/denoising-diffusion-pytorch/issues/20",
            ),
            Sighting(
                "guided-diffusion, issue 61: samples in [-1, 1] saved as if in [0, 1], too dark",
                "https://github.com/openai/guided-diffusion/issues/61",
            ),
        ),
        eye="yes",
    ),
    Exhibit(
        name="heads-mixed",
        title="Heads mixed up",
        file="layers.py",
        right="h = h.transpose(1, 2).reshape(B, H * W, C)",
        wrong="h = h.reshape(B, H * W, C)",
        story="(B, heads, pixels, d) is reshaped where it must be transposed first.",
        symptom=look.prompted,
        draw=pictures.rows(size=0.85),
        alt="Above, four pictures of two clean shapes each. Below, for the same four requests, "
        "empty grounds and one blurred, striped patch.",
        detector=look.pixels_have_no_order,
        tests=("tests/library/test_unet.py",),
        seen=(
            Sighting(
                "transformer-from-scratch, pull request 6: the author asks why its training test "
                "had passed",
                "https://github.com/jsbaan/transformer-from-scratch/pull/6",
            ),
            Sighting(
                "Transformer-Neural-Network, issue 1: in a video course",
                "https://github.com/ajhalthor/Transformer-Neural-Network/issues/1",
            ),
        ),
        eye="yes, unless it was trained like that",
    ),
    Exhibit(
        name="null-untrained",
        title="A null condition that was never trained",
        file="train.py",
        right="batch.uniform(DROP) < config.drop",
        wrong="batch.uniform(DROP) < 0",
        story="Guidance needs the network without a condition; training never showed it one.",
        symptom=look.guided_plane,
        draw=pictures.clouds((-1.9, 3.4, -1.6, 3.7)),
        alt="Left, guided samples at the rims of the three clusters, pushed a little outwards. "
        "Right, two of the three classes have landed far away from their clusters.",
        detector=look.some_see_nothing,
        tests=(TRAIN,),
        seen=(
            Sighting(
                "open-diffusion, issue 6: captions are never dropped in training, but guidance is "
                "used; its author noticed no harm",
                "https://github.com/mlfoundations/open-diffusion/issues/6",
            ),
            Sighting(
                "Sana, issue 188: dropping is missing in the DreamBooth script",
                "https://github.com/NVlabs/Sana/issues/188",
            ),
        ),
        eye="with guidance",
    ),
    Exhibit(
        name="average-left-in",
        title="The average is left in the network",
        file="engine/optim.py",
        right="            net.load_state_dict(own)\n",
        wrong="            pass\n",
        story="The averaged weights are copied in for a look and never taken out again.",
        symptom=look.weight_while_looking,
        draw=pictures.curves("training step", "a weight on its way to 1"),
        alt="The right weight rises smoothly towards 1. The planted one falls back after every "
        "look, each 10 steps, and stays behind.",
        detector=look.looking_leaves_no_trace,
        tests=(TRAIN,),
        seen=(
            Sighting(
                "Open-Sora-Plan, issue 186: stored and copied, not restored",
                "https://github.com/PKU-YuanGroup/Open-Sora-Plan/issues/186",
            ),
            Sighting(
                "waifu-diffusion, pull request 31: training depended on how often it was saved",
                "https://github.com/harubaru/waifu-diffusion/pull/31",
            ),
            Sighting(
                "diffusers, issue 2321: the copy before the look was removed",
                "https://github.com/huggingface/diffusers/issues/2321",
            ),
        ),
        eye="no",
    ),
    Exhibit(
        name="sum-of-means",
        title="A sum of means",
        file="engine/fit.py",
        right="losses.sum() / (self.config.batch / self.world)",
        wrong="losses.mean()",
        story="Each part of a batch gives its mean; their sum is too large by the number of parts.",
        symptom=look.gradient_by_parts,
        draw=pictures.curves("parts", "length of the gradient", log="xy", marker="o"),
        alt="The right gradient has the same length in 1 to 16 parts. The planted one grows in "
        "proportion to the number of parts.",
        detector=look.parts_make_one_batch,
        tests=(TRAIN,),
        seen=(
            Sighting(
                "transformers, pull request 35438: in a comment, two parts double the loss",
                "https://github.com/huggingface/transformers/pull/35438",
            ),
            Sighting(
                "transformers, pull request 34191: a relative; parts with different numbers of "
                "tokens, whose means were given the same weight",
                "https://github.com/huggingface/transformers/pull/34191",
            ),
            Sighting(
                "insightface, issue 2258: the division is missing, and a good model came out",
                "https://github.com/deepinsight/insightface/issues/2258",
            ),
        ),
        eye="no",
    ),
    Exhibit(
        name="resume-without-random-state",
        title="Going on with other random numbers",
        file="engine/resume.py",
        right='    training.randomness.continue_from(info["randomness"][training.rank])\n',
        wrong="",
        story="A checkpoint without the state of the random numbers: the rest is another training.",
        symptom=look.distance_after_a_stop,
        draw=pictures.curves("training step", "distance of the weights", marker="o"),
        alt="The right distance is zero at all twelve steps. The planted one is zero up to the "
        "stop at step 6 and grows from there.",
        detector=look.going_on_is_going_through,
        tests=(RESUME,),
        seen=(
            Sighting(
                "transformers, issue 17032: saved each epoch, the state was not loaded",
                "https://github.com/huggingface/transformers/issues/17032",
            ),
            Sighting(
                "ace, issue 690: reset to its first value after a preemption",
                "https://github.com/ai2cm/ace/issues/690",
            ),
        ),
        eye="no",
    ),
]
