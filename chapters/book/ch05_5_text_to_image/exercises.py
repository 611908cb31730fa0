"""Exercises of chapter 5.5, text to image."""

import math

import torch
import torch.nn.functional as F

from book.exercises import Exercise

# --- 5.5-1 ----------------------------------------------------------------------------------------


def _check_paper(value) -> str | None:
    value = float(value)
    if math.isclose(value, 0.95, abs_tol=1e-3):
        return None
    if math.isclose(value, 0.65, abs_tol=1e-3):
        return "that is our w = 1.5; the paper's w is ours minus 1"
    if math.isclose(value, 0.35, abs_tol=1e-3):
        return "the paper's w is ours *minus* 1, so ours is larger, not smaller"
    if math.isclose(value, 1.55, abs_tol=1e-3):
        return "the unconditional prediction is subtracted"
    return "put the three numbers into the paper's formula"


PAPER = Exercise(
    id="5.5-1",
    title="guidance in another paper's convention",
    stub="paper = ...  # YOUR CODE HERE: one number",
    solution="""
eps_null, eps_c, w = 0.2, 0.5, 1.5
paper = (1 + w) * eps_c - w * eps_null  # our (5.5.2) with w = 2.5
""",
    answer="paper",
    check=_check_paper,
    hint="The formula is given; then see which w of (5.5.2) it is.",
    wrong=(
        (0.65, "that is our w"),
        (0.35, "not smaller"),
        (1.55, "is subtracted"),
        (0.2, "three numbers"),
    ),
    praise="0.2 + 2.5 · 0.3: the paper's 1.5 is our 2.5.",
)

# --- 5.5-2 ----------------------------------------------------------------------------------------


def _check_matching(loss) -> str | None:
    similarity = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, -1.0], [4.0, 0.5, 2.0]])
    right = torch.arange(3)
    rows = F.cross_entropy(similarity, right)
    columns = F.cross_entropy(similarity.T, right)
    got = torch.as_tensor(loss(similarity), dtype=torch.float32)
    if got.numel() != 1:
        return f"one number, the mean over the batch; got shape {tuple(got.shape)}"
    for value, complaint in (
        ((rows + columns) / 2, None),
        (rows, "you ask for the right text of each picture; (5.5.4) also asks the other way round"),
        (columns, "you ask for the right picture of each text; (5.5.4) also asks the other way"),
        (rows + columns, "(5.5.4) is the *mean* of the two directions"),
        (
            -similarity.diagonal().mean(),
            "similar pairs are not enough: others must be less similar",
        ),
    ):
        if torch.isclose(got.reshape(()), value, atol=1e-5):
            return complaint
    return "two cross-entropies, along rows and along columns, with the diagonal as the answer"


MATCHING = Exercise(
    id="5.5-2",
    title="the contrastive loss",
    setup="import torch\nimport torch.nn.functional as F",
    stub="""
def matching_loss(similarity):
    return ...  # YOUR CODE HERE
""",
    solution="""
def matching_loss(similarity):
    right = torch.arange(len(similarity))  # pair i belongs to row i and column i
    return (F.cross_entropy(similarity, right) + F.cross_entropy(similarity.T, right)) / 2
""",
    answer="matching_loss",
    check=_check_matching,
    hint="F.cross_entropy(similarity, torch.arange(B)) is one of the two directions.",
    wrong=(
        (
            "def matching_loss(similarity):\n"
            "    return F.cross_entropy(similarity, torch.arange(len(similarity)))",
            "the other way round",
        ),
        (
            "def matching_loss(similarity):\n"
            "    return F.cross_entropy(similarity.T, torch.arange(len(similarity)))",
            "right picture of each text",
        ),
        ("def matching_loss(similarity):\n    return -similarity.diagonal().mean()", "not enough"),
        ("def matching_loss(similarity):\n    return similarity", "one number"),
        ("def matching_loss(similarity):\n    return similarity.mean()", "two cross-entropies"),
    ),
    praise="with equal similarities it is log B, whatever B is.",
)

# --- 5.5-3 ----------------------------------------------------------------------------------------


def _check_read(read_words) -> str | None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(n, 4, generator=generator) for n in (5, 3, 3))
    mask = torch.tensor([True, True, False])
    got = torch.as_tensor(read_words(q, k, v, mask))
    if got.shape != (5, 4):
        return f"every place reads a vector: shape (5, 4) for 5 places; got {tuple(got.shape)}"

    def weigh(scores, dim=1):
        return scores.softmax(dim) @ v

    hidden = (q @ k.T).masked_fill(~mask, -math.inf)
    for value, complaint in (
        (weigh(hidden / 2), None),
        (weigh(q @ k.T / 2), "padding is still read: give masked words a score of minus infinity"),
        (weigh(hidden), "divide the scores by the square root of d, as (5.5.1) does"),
        (weigh(hidden / 4), "by the *root* of d, not by d"),
        (
            ((q @ k.T / 2).softmax(1) * mask) @ v,
            "weights that are set to zero afterwards no longer sum to 1: mask before the softmax",
        ),
        (
            (q @ k.T / 2 * mask).softmax(1) @ v,
            'a score of 0 is not "not at all": exp(0) = 1; use minus infinity',
        ),
    ):
        if torch.allclose(got, value, atol=1e-5):
            return complaint
    return "softmax over the words of q kᵀ / √d, then times v"


READ = Exercise(
    id="5.5-3",
    title="cross-attention with padding",
    setup="import torch",
    stub="""
def read_words(q, k, v, mask):
    return ...  # YOUR CODE HERE: (n, d)
""",
    solution="""
def read_words(q, k, v, mask):
    scores = q @ k.T / q.shape[1] ** 0.5  # (n, L)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=1) @ v
""",
    answer="read_words",
    check=_check_read,
    hint="scores (n, L), masked before the softmax over L.",
    wrong=(
        (
            "def read_words(q, k, v, mask):\n"
            "    return (q @ k.T / q.shape[1] ** 0.5).softmax(dim=1) @ v",
            "padding is still read",
        ),
        (
            "def read_words(q, k, v, mask):\n"
            "    return (q @ k.T).masked_fill(~mask, -torch.inf).softmax(dim=1) @ v",
            "square root of d",
        ),
        (
            "def read_words(q, k, v, mask):\n"
            "    return ((q @ k.T / q.shape[1] ** 0.5).softmax(dim=1) * mask) @ v",
            "no longer sum to 1",
        ),
        (
            "def read_words(q, k, v, mask):\n"
            "    return (q @ k.T / q.shape[1] ** 0.5 * mask).softmax(dim=1) @ v",
            "exp(0) = 1",
        ),
        ("def read_words(q, k, v, mask):\n    return q @ k.T", "shape (5, 4)"),
    ),
    praise="one line of softmax, and words find their pixels.",
)

# --- 5.5-4 ----------------------------------------------------------------------------------------


def _check_factors(answer) -> str | None:
    of_n, of_null = (float(value) for value in answer)
    if math.isclose(of_n, -2, abs_tol=1e-6) and math.isclose(of_null, 0, abs_tol=1e-6):
        return None
    if math.isclose(of_null, -2, abs_tol=1e-6):
        return "that is (5.5.2); in (5.5.3) the text n has taken the place of no text"
    if math.isclose(of_n, -3, abs_tol=1e-6):
        return "collect the terms: eps_n also stands alone, in front"
    if not math.isclose(of_null, 0, abs_tol=1e-6):
        return "does (5.5.3) contain the prediction without text at all?"
    return "write (5.5.3) with w = 3 and collect the terms with eps_n"


FACTORS = Exercise(
    id="5.5-4",
    title="what a negative prompt weighs",
    setup="",
    stub="factors = (..., ...)  # YOUR CODE HERE: (factor of eps_n, factor of eps_null) in "
    "(5.5.3), w = 3",
    solution="""
w = 3
factors = (1 - w, 0)  # eps_n + w (eps_c - eps_n) = w eps_c + (1 - w) eps_n
""",
    answer="factors",
    check=_check_factors,
    hint="eps_n + 3 (eps_c - eps_n) = 3 eps_c - ..",
    wrong=(
        ((0.0, -2.0), "that is (5.5.2)"),
        ((-3.0, 0.0), "stands alone"),
        ((-2.0, 1.0), "at all"),
        ((2.0, 0.0), "collect the terms with"),
    ),
    praise="two predictions instead of three; with three, the sum of the factors is 1 as well.",
)

EXERCISES = [PAPER, MATCHING, READ, FACTORS]
