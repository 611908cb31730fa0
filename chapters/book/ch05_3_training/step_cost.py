"""Where the time of a training step goes: what a processor spent on each kind of operation."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

KINDS = {  # a part of an operator's name -> its kind; the first that fits counts
    "scaled_dot_product": "attention",
    "convolution": "convolutions",
    "mm": "matrix products",
    "linear": "matrix products",
    "norm": "norms",
    "silu": "activations",
    "gelu": "activations",
}


def by_kind(call: Callable[[], object]) -> dict[str, float]:
    """Seconds of each kind of operation in ``call()``, forward and backward, the largest first.

    What fits no kind, Python's own time among it, is "everything else".
    """
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    spent = dict.fromkeys([*KINDS.values(), "everything else"], 0.0)
    for event in seen.key_averages():
        kind = next((k for part, k in KINDS.items() if part in event.key), "everything else")
        spent[kind] += event.self_cpu_time_total / 1e6  # microseconds
    return dict(sorted(spent.items(), key=lambda item: -item[1]))
