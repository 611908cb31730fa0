"""Room 4, data, layers and training: detectors and symptoms."""

import tempfile

import torch
from torch import Tensor, nn

from book.ch09_1_museum import scene
from book.ch09_1_museum.planted import Package

PROMPTS = (
    "a large solid red circle above a small solid blue square on white",
    "a small solid green triangle left of a large solid yellow circle on white",
    "a large striped blue star right of a small solid red square on grey",
    "a large solid purple square below a large solid green circle on white",
)

# --- detectors ------------------------------------------------------------------------------------


def data_fill_the_range(package: Package) -> None:
    """The darkest value must become -1, the lightest +1."""
    ends = package.data.to_unit_range(torch.tensor([0, 255]), 255).tolist()
    assert ends == [-1, 1], f"black and white become {ends[0]:g} and {ends[1]:g}"


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


def looking_leaves_no_trace(package: Package) -> None:
    """Weights before and after a look at the average must be the same."""
    net = nn.Linear(1, 1)
    average = package.optim.EMA(net, 0.9)
    nn.init.constant_(net.weight, 7.0)
    with average.weights_in(net):
        pass
    left = float(net.weight.detach())
    assert left == 7, f"the weight was 7 before the look, and is {left:.2f} after it"


def parts_make_one_batch(package: Package) -> None:
    """The gradient of a step must not depend on how many parts it is computed in."""
    whole, parts = (gradient(package, accumulate) for accumulate in (1, 4))
    ratio = parts / whole
    assert abs(ratio - 1) < 1e-4, f"in 4 parts the gradient is {ratio:.2f} times as long"


def gradient(package: Package, accumulate: int) -> float:
    """Length of the first gradient of a small network, its batch of 16 in so many parts."""
    net = package.fit.build(lambda: nn.Linear(3, 1), 0)
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    config = package.settings.FitConfig(steps=1, batch=16, accumulate=accumulate, device="cpu")

    def loss(model, batch):
        return (model(x[batch.indices])[:, 0] - x[batch.indices].sum(1)).square(), None

    (record,) = package.fit.fit(net, loss, 64, config)
    return record.grad_norm


def going_on_is_going_through(package: Package) -> None:
    """Stop half-way, go on from the checkpoint: every weight must be as without the stop."""
    _, apart = distance_after_a_stop(package)
    assert max(apart) == 0, f"after the stop the weights drift apart by {max(apart):.1e}"


def distance_after_a_stop(package: Package, stop: int = 6) -> tuple[list[int], list[float]]:
    """Weights with a stop after 6 of 12 steps against those without: steps, distances.

    The network has dropout: it draws from torch's own random numbers.
    """
    straight = dict(train_noisily(package, None, 12))
    with tempfile.TemporaryDirectory() as folder:
        stopped = dict(train_noisily(package, folder, stop))
        torch.rand(5)  # in between the program draws something else
        stopped = dict(train_noisily(package, folder, 12)) | stopped  # old records come again
    steps = sorted(straight)
    return steps, [float((straight[k] - stopped[k]).norm()) for k in steps]


def train_noisily(package: Package, folder: str | None, until: int):
    """Train a network with dropout for 12 steps, or leave after ``until``: (step, weights)."""
    make = lambda: nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 1))  # noqa: E731
    net = package.fit.build(make, 0)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    config = package.settings.FitConfig(
        steps=12, batch=16, lr=0.01, warmup=1, device="cpu", log_every=1, save_every=6
    )

    def loss(model, batch):
        return (model(x[batch.indices])[:, 0] - x[batch.indices, 0]).square(), None

    for record in package.fit.fit(net, loss, 64, config, folder=folder, resume=bool(folder)):
        yield record.step, torch.cat([p.detach().flatten().clone() for p in net.parameters()])
        if record.step == until:
            return


# --- symptoms -------------------------------------------------------------------------------------


def seen_through_the_autoencoder(package: Package):
    """What the shipped digits model makes of digits as they come from the data set."""
    model = package.latent.LatentDiffusion.load("digits")
    grey = torch.tensor(package.data._read_mnist()[250::500, :784]).reshape(-1, 1, 28, 28)
    x = package.data.to_unit_range(grey, 255)
    return {"data": x, "decoded": model.decode(model.encode(x))}


def prompted(package: Package) -> Tensor:
    """Four requests to the shipped text-to-image model: (4, 3, 64, 64)."""
    model = package.latent.LatentDiffusion.load("shapes")
    return model.text_to_image(PROMPTS, steps=10, sampler=package.samplers.dpmpp_2m, seed=0)


def guided_plane(package: Package) -> Tensor:
    """Samples (300, 2) of a network trained on the clusters, guided with w = 2."""
    net, schedule = scene.train_plane(package)
    return scene.asked(package, net, schedule, guidance=2.0)


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


def gradient_by_parts(package: Package):
    """Numbers of parts, and the length of the gradient in each."""
    parts = (1, 2, 4, 8, 16)
    return parts, [gradient(package, accumulate) for accumulate in parts]
