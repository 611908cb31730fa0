"""Room 4, continued: what becomes of the loss before the optimiser sees it."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from book.ch09_1_museum import figures
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.planted import Package

TRAIN = "tests/library/test_train.py"


# --- A sum of means -------------------------------------------------------------------------------


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


def gradient_by_parts(package: Package):
    """Numbers of parts, and the length of the gradient in each."""
    parts = (1, 2, 4, 8, 16)
    return parts, [gradient(package, accumulate) for accumulate in parts]


SUM_OF_MEANS = Exhibit(
    name="sum-of-means",
    title="A sum of means",
    file="engine/fit.py",
    right="losses.sum() / (self.config.batch / self.world)",
    wrong="losses.mean()",
    story="Each part of a batch gives its mean; their sum is too large by the number of parts.",
    symptom=gradient_by_parts,
    draw=figures.curves("parts", "length of the gradient", log="xy", marker="o"),
    alt="The right gradient has the same length in 1 to 16 parts. The planted one grows in "
    "proportion to the number of parts.",
    detector=parts_make_one_batch,
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
)

# --- A loss that is handed to its own gradient ----------------------------------------------------


def gradient_is_the_slope(package: Package) -> None:
    """The gradient must be the slope of the loss, whatever size the loss has."""
    for size in (0.3, 3.0):
        loss, length, slope = gradient_and_slope(package, size)
        said = f"at a loss of {loss:.2g} the gradient is {length / slope:.2g} times the slope"
        assert abs(length / slope - 1) < 1e-3, said


def gradient_and_slope(package: Package, size: float) -> tuple[float, float, float]:
    """A loss, and the length of its gradient: by one step of training, and by small differences."""
    net = package.fit.build(lambda: nn.Linear(3, 1), 0)
    before = copy.deepcopy(net).double()
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    config = package.settings.FitConfig(steps=1, batch=16, device="cpu")

    def squares(model: nn.Module, x: Tensor) -> Tensor:
        return (model(x)[:, 0] - size * x.sum(1)).square()

    (record,) = package.fit.fit(net, lambda model, _: (squares(model, x), None), 16, config)
    slope = slope_by_differences(before, lambda model: squares(model, x.double()).mean())
    return record.loss, record.grad_norm, slope


@torch.no_grad()
def slope_by_differences(
    net: nn.Module, loss: Callable[[nn.Module], Tensor], h: float = 1e-4
) -> float:
    """Length of the gradient of ``loss(net)``: each parameter is moved up and down by h."""
    squared = 0.0
    for weights in net.parameters():
        for k in range(weights.numel()):
            around = []
            for move in (h, -2 * h):
                weights.view(-1)[k] += move
                around.append(float(loss(net)))
            weights.view(-1)[k] += h
            squared += ((around[0] - around[1]) / (2 * h)) ** 2
    return squared**0.5


def gradient_by_loss(package: Package):
    """Losses of very different size, and each one's gradient in units of its slope."""
    found = [gradient_and_slope(package, size) for size in (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)]
    found.sort()
    return [loss for loss, _, _ in found], [length / slope for _, length, slope in found]


BACKWARD_OF_LOSS = Exhibit(
    name="backward-of-loss",
    title="A loss, handed to its own gradient",
    file="engine/fit.py",
    right="self.accelerator.backward(losses.sum() / (self.config.batch / self.world))",
    wrong="self.accelerator.backward("
    "x := losses.sum() / (self.config.batch / self.world), gradient=x)",
    story="backward(loss) multiplies the gradient by the loss: half of its square is trained.",
    symptom=gradient_by_loss,
    draw=figures.curves("loss", "gradient / slope of the loss", log="xy", marker="o"),
    alt="The right gradient is the slope of the loss, whatever the loss. The planted one, divided "
    "by the slope, is as large as the loss: below 1 for small losses, above it for large ones.",
    detector=gradient_is_the_slope,
    tests=(TRAIN,),
    seen=(
        Sighting(
            "tiny-diffusion: in its training loop",
            "https://github.com/tanelp/tiny-diffusion/blob/"
            "3aaa6c84de553399511e8803da3f3fbbbd29597f/ddpm.py",
        ),
        Sighting(
            "pytorch_tutorial, issue 5: in its linear regression; a reader asks why, and it is "
            "repaired",
            "https://github.com/sotte/pytorch_tutorial/issues/5",
        ),
    ),
    eye="no",
)
