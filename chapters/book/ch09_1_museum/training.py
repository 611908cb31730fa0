"""Room 4: data, layers and training."""

import tempfile

import torch
from torch import Tensor, nn

from book.ch09_1_museum import figures, scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.gradients import BACKWARD_OF_LOSS, SUM_OF_MEANS
from book.ch09_1_museum.planted import Package

TRAIN, RESUME = "tests/library/test_train.py", "tests/library/test_resume.py"
PROMPTS = (
    "a large solid red circle above a small solid blue square on white",
    "a small solid green triangle left of a large solid yellow circle on white",
    "a large striped blue star right of a small solid red square on grey",
    "a large solid purple square below a large solid green circle on white",
)


# --- Pixels from 0 to 1 ---------------------------------------------------------------------------


def data_fill_the_range(package: Package) -> None:
    """The darkest value must become -1, the lightest +1."""
    ends = package.data.to_unit_range(torch.tensor([0, 255]), 255).tolist()
    assert ends == [-1, 1], f"black and white become {ends[0]:g} and {ends[1]:g}"


def seen_through_the_autoencoder(package: Package):
    """What the shipped digits model makes of digits as they come from the data set."""
    model = package.latent.LatentDiffusion.load("digits")
    grey = torch.tensor(package.data._read_mnist()[250::500, :784]).reshape(-1, 1, 28, 28)
    x = package.data.to_unit_range(grey, 255)
    return {"data": x, "decoded": model.decode(model.encode(x))}


ZERO_TO_ONE = Exhibit(
    name="zero-to-one",
    title="Pixels from 0 to 1",
    file="data.py",
    right="return x.float() * (2 / largest) - 1",
    wrong="return x.float() / largest",
    story="Images come in [0, 1] where the model was made for [-1, 1].",
    symptom=seen_through_the_autoencoder,
    draw=figures.rows(),
    alt="Three rows of ten digits. Given, white on black; decoded by the right package, the "
    "same; decoded by the planted one, white on a grey, patterned ground.",
    detector=data_fill_the_range,
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
)

# --- Heads mixed up -------------------------------------------------------------------------------


def pixels_have_no_order(package: Package) -> None:
    """Self-attention without positions: shuffle the pixels, and the answer is shuffled alike."""
    attention = package.layers.Attention(32, heads=4)
    nn.init.normal_(attention.out.weight)  # it begins at zero, and would hide everything
    x, order = torch.randn(1, 32, 3, 4), torch.randperm(12)
    shuffled = x.flatten(2)[..., order].reshape(x.shape)
    with torch.no_grad():
        here, there = (attention(a).flatten(2) for a in (x, shuffled))
    error = float((there - here[..., order]).abs().max())
    assert error < 1e-4, f"a shuffle of the pixels changes their values by {error:.2f}"


def prompted(package: Package) -> Tensor:
    """Four requests to the shipped text-to-image model: (4, 3, 64, 64)."""
    model = package.latent.LatentDiffusion.load("shapes")
    return model.text_to_image(PROMPTS, steps=10, sampler=package.samplers.dpmpp_2m, seed=0)


HEADS_MIXED = Exhibit(
    name="heads-mixed",
    title="Heads mixed up",
    file="layers.py",
    right="h = h.transpose(1, 2).reshape(B, H * W, C)",
    wrong="h = h.reshape(B, H * W, C)",
    story="(B, heads, pixels, d) is reshaped where it must be transposed first.",
    symptom=prompted,
    draw=figures.rows(size=0.85),
    alt="Above, four pictures of two clean shapes each. Below, for the same four requests, "
    "empty grounds and one blurred, striped patch.",
    detector=pixels_have_no_order,
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
)

# --- A null condition that was never trained ------------------------------------------------------


def some_see_nothing(package: Package) -> None:
    """Count the samples that are told to drop their condition: about the share that was set."""
    seen = []

    class Spy(nn.Linear):
        def forward(self, z_t, t, condition, drop):
            seen.append(drop)
            return z_t

    model = package.unet.UNetConfig(channels=2, classes=1)
    config = package.train.DenoiserTraining(model, drop=0.25)
    z0, labels = torch.zeros(2000, 2), torch.zeros(2000, dtype=torch.int64)
    loss = package.train.denoiser_loss(config, scene.linear(package), z0, labels)
    loss(Spy(1, 1), package.noise.Batch(0, 0, torch.arange(2000)))
    share = float(seen[0].double().mean())
    assert abs(share - 0.25) < 0.05, f"{share:.0%} of the samples see no condition, asked for 25 %"


def guided_plane(package: Package) -> Tensor:
    """Samples (300, 2) of a network trained on the clusters, guided with w = 2."""
    net, schedule = scene.train_plane(package)
    return scene.asked(package, net, schedule, guidance=2.0)


NULL_UNTRAINED = Exhibit(
    name="null-untrained",
    title="A null condition that was never trained",
    file="train.py",
    right="batch.uniform(DROP) < config.drop",
    wrong="batch.uniform(DROP) < 0",
    story="Guidance needs the network without a condition; training never showed it one.",
    symptom=guided_plane,
    draw=figures.clouds((-1.9, 3.4, -1.6, 3.7)),
    alt="Left, guided samples at the rims of the three clusters, pushed a little outwards. "
    "Right, two of the three classes have landed far away from their clusters.",
    detector=some_see_nothing,
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
)

# --- The average is left in the network -----------------------------------------------------------


def looking_leaves_no_trace(package: Package) -> None:
    """Weights before and after a look at the average must be the same."""
    net = nn.Linear(1, 1)
    average = package.optim.EMA(net, 0.9)
    nn.init.constant_(net.weight, 7.0)
    with average.weights_in(net):
        pass
    left = float(net.weight.detach())
    assert left == 7, f"the weight was 7 before the look, and is {left:.2f} after it"


def weight_while_looking(package: Package):
    """One weight on its way to 1, looked at every 10 steps through its average."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    average, path = package.optim.EMA(net, 0.98), []
    for step in range(120):
        with torch.no_grad():
            net.weight += 0.04 * (1 - net.weight)
        average.update(net)
        path.append(float(net.weight.detach()))
        if step % 10 == 9:
            with average.weights_in(net):
                pass
    return range(120), path


AVERAGE_LEFT_IN = Exhibit(
    name="average-left-in",
    title="The average is left in the network",
    file="engine/optim.py",
    right="            net.load_state_dict(own)\n",
    wrong="            pass\n",
    story="The averaged weights are copied in for a look and never taken out again.",
    symptom=weight_while_looking,
    draw=figures.curves("training step", "a weight on its way to 1"),
    alt="The right weight rises smoothly towards 1. The planted one falls back after every "
    "look, each 10 steps, and stays behind.",
    detector=looking_leaves_no_trace,
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
)

# --- Going on with other random numbers -----------------------------------------------------------


def going_on_is_going_through(package: Package) -> None:
    """Stop half-way, go on from the checkpoint: every weight must be as without the stop."""
    _, apart = distance_after_a_stop(package)
    assert max(apart) == 0, f"after the stop the weights drift apart by {max(apart):.1e}"


def distance_after_a_stop(package: Package, stop: int = 6) -> tuple[list[int], list[float]]:
    """Weights with a stop after 6 of 12 steps against those without: steps, distances.

    The network has dropout: it draws from torch's own random numbers.
    """
    straight = dict(scene.train_noisily(package, None, 12))
    with tempfile.TemporaryDirectory() as folder:
        stopped = dict(scene.train_noisily(package, folder, stop))
        torch.rand(5)  # in between the program draws something else
        stopped = dict(scene.train_noisily(package, folder, 12)) | stopped  # old records come again
    steps = sorted(straight)
    return steps, [float((straight[k] - stopped[k]).norm()) for k in steps]


RESUME_WITHOUT_RANDOM_STATE = Exhibit(
    name="resume-without-random-state",
    title="Going on with other random numbers",
    file="engine/resume.py",
    right='    training.randomness.continue_from(info["randomness"][training.rank])\n',
    wrong="",
    story="A checkpoint without the state of the random numbers: the rest is another training.",
    symptom=distance_after_a_stop,
    draw=figures.curves("training step", "distance of the weights", marker="o"),
    alt="The right distance is zero at all twelve steps. The planted one is zero up to the "
    "stop at step 6 and grows from there.",
    detector=going_on_is_going_through,
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
)

EXHIBITS = [
    ZERO_TO_ONE,
    HEADS_MIXED,
    NULL_UNTRAINED,
    AVERAGE_LEFT_IN,
    SUM_OF_MEANS,
    BACKWARD_OF_LOSS,
    RESUME_WITHOUT_RANDOM_STATE,
]
