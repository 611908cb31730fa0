"""The page of chapter 5.0 is a whole model, short, and the library's: part by part.

The cells are run as they stand in the source, without those that train and draw. Comparisons are in
float64, where the same sums in another order differ by about 1e-15 of their size.
"""

import ast
import copy
import io
import math
import re
import tokenize
from itertools import pairwise

import jupytext
import nbformat
import pytest
import torch
from awake import awake, points
from book_rules import CHAPTERS, SOURCES
from crosslinks import chapters
from torch import nn

from minildm import (
    Autoencoder,
    DiscreteSchedule,
    FitConfig,
    UNet,
    V,
    cosine_betas,
    ddim,
    diffusion_loss,
    guided,
    kl_loss,
    network_denoiser,
    reconstruction_loss,
    sample,
)
from minildm.engine.optim import EMA, make_optimizer
from minildm.recipes import DIGITS_AUTOENCODER, DIGITS_DENOISER

STEM = "05_0_one_page"
SOURCE = jupytext.read(SOURCES / f"{STEM}.md").cells
CELLS = {cell.metadata["name"]: cell.source for cell in SOURCE if cell.cell_type == "code"}
TEXT = "\n\n".join(cell.source for cell in SOURCE if cell.cell_type == "markdown")
WRITTEN = ("autoencoder", "fit", "residual-block", "attention", "unet", "diffusion", "draw")
SCHEDULE = DiscreteSchedule(cosine_betas(1000))
MOST_LINES, LEAST_RIGHT = 200, 0.9


@pytest.fixture(autouse=True)
def _same_weights_each_time():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def page():
    """All that the cells define, in float64: signal and noise too."""
    names = {"torch": torch, "nn": nn, "F": nn.functional, "math": math, "copy": copy}
    names["pairwise"] = pairwise
    names |= {"NULL": 10, "x": torch.zeros(4000, 0)}
    for name in WRITTEN:
        exec(compile(CELLS[name], f"<cell {name}>", "exec"), names)
    names["signal"], names["noise"] = SCHEDULE(torch.arange(1001))
    return names


def twins(mine, theirs):
    """Both with the same weights, those of ``theirs``; strict: none is missing or left over."""
    mine.double().load_state_dict(awake(theirs, spread=0.1).state_dict(), strict=True)
    return mine.eval(), theirs.eval()


def close(got, wanted, tolerance=1e-9):
    assert wanted.std() > 0.1
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


# --- the parts ------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_autoencoder(page):
    mine, theirs = twins(page["Autoencoder"](), Autoencoder(DIGITS_AUTOENCODER.model))
    x = points(5, 1, 28, 28).clamp(-1, 1)
    for net in (mine, theirs):
        net.scale.fill_(0.7)
    z0 = 0.7 * theirs.encode(x).mean
    close(mine.encode(x), z0)
    close(mine.decode(z0), theirs.decode(z0 / 0.7).clamp(-1, 1))


def test_the_loss_of_the_autoencoder_and_its_gradient(page):
    mine, theirs = twins(page["Autoencoder"](), Autoencoder(DIGITS_AUTOENCODER.model))
    x = points(5, 1, 28, 28).clamp(-1, 1)
    torch.manual_seed(4)
    page["autoencoder_loss"](mine, x, kl=0.3).backward()
    torch.manual_seed(4)
    x_hat, q = theirs(x, torch.randn(5, 2, 7, 7, dtype=torch.float64))
    assert q.var.log().abs().max() < 9, "the library cuts at 10, the page does not"
    (reconstruction_loss(x_hat, x) + 0.3 * kl_loss(q)).mean().backward()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("size", [(7, 7), (8, 5)])
def test_the_network(page, size):
    mine, theirs = twins(page["UNet"](), UNet(DIGITS_DENOISER.model))
    mine.embed_time.register_forward_pre_hook(lambda _, phi: phi[0].double())
    z_t, t, label = points(3, 2, *size), torch.tensor([1, 300, 1000]), torch.tensor([0, 9, 10])
    close(mine(z_t, t, label), theirs(z_t, t, label), 1e-6)  # its times are float32


@torch.no_grad()
def test_a_fresh_network_answers_zero(page):
    t, label = torch.tensor([1, 900]), torch.tensor([1, 10])
    mine = page["UNet"]()
    assert not mine(torch.randn(2, 2, 7, 7), t, label).any()
    born, wanted = (
        {name for name, p in net.named_parameters() if not p.any()}
        for net in (mine, UNet(DIGITS_DENOISER.model))
    )
    assert born == wanted, "each branch is born as zero"


def test_the_schedule(page):
    torch.testing.assert_close(
        page["cosine_alpha_bar"](1000), SCHEDULE.alpha_bar, rtol=1e-9, atol=1e-15
    )
    assert page["cosine_alpha_bar"](1000)[0] == 1


def test_the_loss_of_the_denoiser(page):
    """The same times and noise: the library's loss, for the labels that the network was told."""
    z0, label, seen = points(4000, 2, 3, 3), torch.arange(4000) % 10, []

    def net(z_t, t, label):
        seen.append((t, label, z_t))
        return torch.tanh(z_t) + label.view(-1, 1, 1, 1) / 10

    torch.manual_seed(5)
    got = page["diffusion_loss"](net, z0, label)
    t, told, z_t = seen[0]
    signal, noise = (factor.view(-1, 1, 1, 1) for factor in SCHEDULE(t))
    eps = (z_t - signal * z0) / noise
    wanted = diffusion_loss(net, SCHEDULE, z0, told, t=t, eps=eps).mean()
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=0)
    assert int(t.min()) <= 5 and int(t.max()) >= 996 and abs(float(t.double().mean()) - 500) < 20
    assert abs(float(eps.mean())) < 0.02 and abs(float(eps.std()) - 1) < 0.02
    hidden = told != label
    assert (told[hidden] == 10).all() and 0.08 < float(hidden.double().mean()) < 0.12


def test_every_time_is_drawn_and_zero_is_not(page):
    seen = []
    torch.manual_seed(6)
    page["diffusion_loss"](
        lambda z_t, t, label: seen.append(t) or z_t, points(20_000, 1, 1, 1), torch.zeros(20_000)
    )
    assert seen[0].unique().tolist() == list(range(1, 1001))


def test_one_step_of_the_walk_is_ddim(page):
    """One step, and the walk of 20: the library's, with guidance."""
    net = UNet(DIGITS_DENOISER.model)
    awake(net, spread=0.1).eval()
    z, label = points(6, 2, 7, 7), torch.arange(6)
    denoise = guided(
        network_denoiser(net, SCHEDULE, V, condition=label),
        network_denoiser(net, SCHEDULE, V, condition=torch.full_like(label, 10)),
        2.5,
    )
    for steps in (1, 3, 20):
        *_, last = sample(denoise, SCHEDULE, z, SCHEDULE.times(steps), ddim)
        close(page["draw"](net, z, label, steps, w=2.5), last.z, 1e-6)


def test_the_training_loop(page):
    """The weights after some steps, and their average: AdamW, rate, clipping and EMA by hand."""
    settings = FitConfig(steps=60, batch=64, lr=0.02, ema=0.9)
    start = nn.Linear(3, 2).double()
    inputs, wanted = points(4000, 3), points(4000, 2, seed=2)

    def loss(net, i):
        return 9 * (net(inputs[i]) - wanted[i]).square().mean()

    net, theirs = (nn.Linear(3, 2).double() for _ in range(2))
    for each in (net, theirs):
        each.load_state_dict(start.state_dict())
    torch.manual_seed(7)
    average = page["fit"](net, loss, settings.steps, settings.lr, settings.ema)
    torch.manual_seed(7)
    ema = EMA(theirs, settings.ema)
    optimizer = make_optimizer(theirs, settings, torch.device("cpu"))
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = settings.lr_at(step)
        optimizer.zero_grad()
        loss(theirs, torch.randint(4000, (settings.batch,))).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), settings.clip)
        optimizer.step()
        ema.update(theirs)
    for mine, other in ((net, theirs), (average, ema.net)):
        torch.testing.assert_close(mine.weight, other.weight, rtol=1e-9, atol=1e-9)
    assert (net.weight - start.weight).abs().min() > 0.01
    assert (net.weight - average.weight).abs().max() > 1e-4
    assert not average.training


# --- what the page promises -----------------------------------------------------------------------


def code_lines(code: str) -> int:
    """Lines that hold code: not those that are blank, a comment, or part of a docstring."""
    tree = ast.parse(code)
    words = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            words |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    none = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type not in (*none, tokenize.ENDMARKER):
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - words)


def test_lines_of_code_are_counted():
    code = """import a

# no


def f(x):
    'No.'
    return (
        x)  # yes
"""
    assert code_lines(code) == 4


def test_all_cells_together_are_a_page():
    assert sum(map(code_lines, CELLS.values())) <= MOST_LINES
    for name, code in CELLS.items():
        assert len(code.splitlines()) <= 50, name


def test_nothing_of_the_model_is_imported():
    imported = set()
    for node in ast.walk(ast.parse("\n".join(CELLS.values()))):
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.startswith(("minildm", "book"))}
    assert ours == {
        "book.check", "book.figures", "book.show", "book.digit_judge.load_classifier",
        "minildm.LatentDiffusion", "minildm.digits",
    }  # fmt: skip
    before = "\n".join(code for name, code in CELLS.items() if name not in ("imports", "theirs"))
    assert "LatentDiffusion" not in before, "it is only compared with"
    assert imported - ours == {
        "copy", "math", "time", "itertools.pairwise", "torch", "torch.nn.functional", "torch.nn",
    }  # fmt: skip


def test_each_part_says_where_it_is_explained():
    """Every class and function stands in a table, in a row with a chapter that there is."""
    rows = [line for line in TEXT.splitlines() if line.startswith("|")]
    book = chapters(SOURCES)
    for name in WRITTEN:
        for node in ast.parse(CELLS[name]).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                [row] = [row for row in rows if f"`{node.name}`" in row]
                numbers = re.findall(r"chapter (\d+(?:\.\d+)?)", row)
                assert numbers and set(numbers) <= set(book), node.name


def test_it_draws_what_is_asked():
    """What the notebook printed when it was built: nothing is trained here."""
    notebook = nbformat.read(CHAPTERS / f"{STEM}.ipynb", as_version=4)
    printed = "".join(
        output.text for cell in notebook.cells for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )  # fmt: skip
    [right] = re.findall(r"([\d.]+)% of 500 drawings", printed)
    assert float(right) / 100 >= LEAST_RIGHT
    assert "assert right >= 0.9" in CELLS["judge"]
