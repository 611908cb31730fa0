"""Exercises of chapters 5 to 9: other right answers count too, in torch, NumPy and Python."""

import pytest

from book.exercises import find, registry, verdict

SETUP = """
import copy
import math
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
"""
SAME = "right = {0}\ndef {0}(*given):\n    return {1}"


def numbers(name: str, value: str) -> tuple[str, ...]:
    """One number, in four ways."""
    ways = "torch.tensor({}).double()", "torch.tensor({}).float()", "np.float32({})", "{}"
    return tuple(f"{name} = {way.format(value)}" for way in ways)


def answers(name: str) -> tuple[str, ...]:
    """A function whose right answer comes as float64, as float32 and as NumPy's."""
    ways = "torch.as_tensor({}).double()", "torch.as_tensor({}).float()", "np.asarray({})"
    return tuple(SAME.format(name, way.format("right(*given)")) for way in ways)


def edited(id: str, *changes: tuple[str, str]) -> tuple[str, ...]:
    """The solution, each time with one thing written in another way."""
    solution = find(id).solution
    assert all(solution.count(old) for old, _ in changes), id
    return tuple(solution.replace(old, new) for old, new in changes)


# id -> code that runs after the solution, and defines the answer anew
RIGHT: dict[str, tuple[str, ...]] = {
    "5.0-1": answers("my_autoencoder_loss"),
    "5.0-2": answers("mended_loss"),
    "5.0-3": answers("my_draw"),
    "5.1-1": answers("space_to_depth") + ("space_to_depth = F.pixel_unshuffle",),
    "5.1-2": tuple(code.replace("right(*given)", "right(*given).detach()")
                   for code in answers("batch_loss")),
    "5.1-3": (
        "learned = torch.tensor([-0.4, -1]).double()", "learned = torch.tensor([-0.4, -1])",
        "learned = np.array([-0.4, -1.0])", "learned = [-0.4, -1]",
    ),
    "5.1-4": numbers("really", "0.5"),
    "5.1-5": numbers("off_by", "0.18215"),
    "5.2-1": edited(
        "5.2-1", ("F.silu", "torch.nn.SiLU()"),
        ("* (1 + scale) + shift", ".mul(scale + 1).add(shift)"),
        ("nn.Linear(length, 2 * c_out)", "nn.Linear(length, c_out + c_out)"),
    ),
    "5.2-2": answers("block_parameters"),
    "5.2-3": answers("listening_by_hand"),
    "5.2-4": answers("way_up") + edited(
        "5.2-4", ("torch.cat([h, skip], dim=1)", "torch.hstack([h, skip])"),
        ("F.interpolate(h, size=skip.shape[-2:])", "nn.Upsample(skip.shape[-2:])(h)"),
    ),
    "5.2-5": answers("halved") + ("halved = lambda n: math.ceil(n / 2)",),
    "5.3-1": tuple(
        SAME.format("noisy_and_v", f"tuple({way.format('x')} for x in right(*given))")
        for way in ("{}.double()", "{}.float()", "{}.numpy()")
    ),
    "5.3-2": answers("my_step"),
    "5.3-3": edited(
        "5.3-3", ("optimizer.zero_grad()", "net.zero_grad()"),
        ("slow.data.lerp_(now.data, 0.01)", "slow.data.mul_(0.99).add_(now.data, alpha=0.01)"),
        ("losses.append(float(loss.detach()))", "losses.append(loss.item())"),
    ),
    "5.3-4": numbers("first_loss", "15.5"),
    "5.3-5": answers("weight_for_eps") + (
        "weight_for_eps = lambda snr, gamma=5.0, floor=0.0:"
        " (np.minimum(snr.numpy(), gamma) + floor) / snr.numpy()",
    ),
    "5.3-6": numbers("decay", "0.9998"),
    "5.3-7": (
        "diagnosis = dict(A='wrong target', B='slow', C='healthy', D='wrong labels')",
        "diagnosis = dict(zip('ABCD', ('wrong target', 'slow', 'healthy', 'wrong labels')))",
        "diagnosis = {k: np.str_(v) for k, v in diagnosis.items()}",
    ),
    "5.4-1": (
        "calls = {k: torch.tensor(v) for k, v in calls.items()}",
        "calls = {k: np.int64(v) for k, v in calls.items()}",
        "calls = {k: float(v) for k, v in calls.items()}",
    ),
    "5.4-2": answers("line_of_noise"),
    "5.4-3": tuple(
        SAME.format("my_heun", f"(({way}) (right(*given)[0]), *right(*given)[1:])")
        for way in ("lambda z: z.double()", "lambda z: z.float()", "lambda z: z.numpy()")
    ),
    "5.4-4": tuple(
        SAME.format("midpoint", f"(({way}) (right(*given)[0]), *right(*given)[1:])")
        for way in ("lambda z: z.double()", "lambda z: z.float()", "lambda z: z.numpy()")
    ),
    "5.4-5": answers("enough"),
    "5.5-1": numbers("paper", "0.95"),
    "5.5-2": answers("steered"),
    "5.5-3": answers("matching_loss"),
    "5.5-4": edited(
        "5.5-4", ("nn.GELU()", "torch.nn.GELU()"), ("4 * width", "width * 4"),
        ("scaled_dot_product_attention(q, k, v, is_causal=True)",
         "scaled_dot_product_attention(q, k, v, torch.ones(len(x[0]), len(x[0])).tril().bool())"),
    ),
    "5.6-1": tuple(
        SAME.format("next_scale", way)
        for way in ("list(right(*given))", "torch.tensor(right(*given))", "np.array(right(*given))")
    ),
    "5.6-2": answers("gradient_in_parts"),
    "5.6-3": (
        "my_command = my_command.replace('--nproc_per_node 4', '--nproc-per-node=4')",
        "my_command = my_command.replace('torchrun ', 'torchrun --standalone ')",
        "my_command = my_command.replace(' --set', ' \\\\\\n    --set')",
    ),
    "5.6-4": edited(
        "5.6-4", ("return *copy.deepcopy(parts), random.get_state(), step",
                  "return [*copy.deepcopy(parts), random.get_state(), step]"),
        ("net.state_dict(),", "{k: v.clone() for k, v in net.state_dict().items()},"),
        ("random.get_state()", "random.get_state().clone()"),
    ),
    "6-1": tuple(
        SAME.format("guide", f"[{way.format('x')} for x in right(*given)]")
        for way in ("{}.double()", "{}.float()", "{}.numpy()")
    ),
    "6-2": tuple(
        SAME.format("step_and_keep", f"(({way}) (right(*given)[0]), *right(*given)[1:])")
        for way in ("lambda z: z.double()", "lambda z: z.float()", "lambda z: z.numpy()")
    ),
    "6-3": answers("what_to_draw"),
    "6-4": answers("seam"),
    "6-5": answers("midpoint") + (
        "midpoint = lambda a, b: math.sqrt(0.5) * (a.numpy() + b.numpy())",
    ),
    "7-1": answers("euler"),
    "7-2": (
        "guidances = torch.tensor([5, 3, 7.5]).double()", "guidances = torch.tensor([5, 3, 7.5])",
        "guidances = np.array([5, 3, 7.5])", "guidances = [5, 3, 7.5]",
    ),
    "7-3": (
        "friend_grid = friend_grid.int()", "friend_grid = friend_grid.numpy()",
        "friend_grid = [*range(952, 1, -50), 1]", "friend_grid = tuple(friend_grid)",
    ),
    "7-4": tuple(
        SAME.format("network_time", f"{way}(right(*given))")
        for way in ("torch.tensor", "np.int64", "np.int32")
    ),
    "7.6-1": edited(
        "7.6-1", ("t - 1", "t.sub(1)"), ("t - 1", "t + torch.tensor(-1)"),
        ("net(z_t, t - 1, context)", "net(z_t, t=t - torch.ones_like(t), context=context)"),
    ),
    "7.6-2": answers("operations") + (
        "operations = lambda n, w: (1 + (w not in (0, 1))) * (n * CALL + TEXT) + DECODE",
    ),
    "7.6-3": edited(
        "7.6-3", ("tensor.flatten(1)", "tensor[:, :, 0, 0]"),
        ("tensor.flatten(1)", "tensor.squeeze()"), ("return name, tensor", "return [name, tensor]"),
    ),
    "8-1": numbers("half_kept", "1 + 3 / float(stable.alpha_bar[-1])"),
    "8-2": (
        "cosine_times = cosine_times.float()", "cosine_times = cosine_times.numpy()",
        "cosine_times = [2 / math.pi * math.atan2(k, 4 - k) for k in (4, 3, 2, 1, 0)]",
    ),
    "8-3": answers("velocity_error") + ("velocity_error = lambda t: 1 + t / (1 - t)",),
    "8-4": answers("entries") + (
        "entries = lambda h, w, p: (math.ceil(h / p) * math.ceil(w / p)) ** 2",
        "entries = lambda h, w, p: (np.ceil(h / p) * np.ceil(w / p)) ** 2",
    ),
    "8-5": answers("share_of_first") + (
        "share_of_first = lambda a, b, c, d, e, f: f * (c * b - a * d) / (d * (e * b - f * a))",
    ),
    "8-6": answers("pays_after") + (
        "pays_after = lambda r, n, b, x, y: math.ceil(5 * r * n * b / (x - y))",
    ),
    "8-7": answers("to_the_point") + ("to_the_point = lambda z, t, mu: z / t - mu / t",),
    "8-8": numbers("excess", "2.4"),
    "9.1-1": (
        "names = tuple(names)", "names = np.array(names)", "names = map(str, names)",
    ),
    "9.1-2": tuple(
        SAME.format("looks_right", f"{way}(right(*given))")
        for way in ("np.bool_", "torch.tensor", "bool")
    ),
    "9.1-3": tuple(
        SAME.format("good_grid", f"{way}(right(*given))")
        for way in ("np.bool_", "torch.tensor", "int")
    ),
    "9.1-4": ("my_line = torch.tensor(4)", "my_line = np.int64(4)", "my_line = 4.0"),
    "9-1": numbers("lowest", "linear.alpha_bar[1:].mean().item()"),
    "9-2": (
        "crossing = torch.tensor(crossing)", "crossing = np.int64(crossing)",
        "crossing = float(crossing)", "crossing = np.float64(crossing)",
    ),
    "9-3": numbers("steps_needed", "46050.0"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("id", "code"), [(id, code) for id, codes in RIGHT.items() for code in codes]
)
def test_another_right_answer_counts(id, code):
    exercise = find(id)
    names: dict = {"__name__": "__exercise__"}
    exec(SETUP + exercise.setup + "\n" + exercise.solution, names)
    exec(code, names)
    assert verdict(exercise, names[exercise.answer]).startswith("[ok]")


def test_each_exercise_has_three():
    assert {id for id in registry() if id[0] in "56789"} == set(RIGHT)
    assert all(len(codes) >= 3 for codes in RIGHT.values())
