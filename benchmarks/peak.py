"""How near the arithmetic comes to what the processor can do."""

from collections.abc import Callable

from benchmarks import sampling, training
from benchmarks.measure import PRODUCT_FLOPS, Options, Row, interleaved, product
from book.ch05_2_unet.cost import flops

NAME = "peak"
QUESTION = "Which share of the operations per second of a matrix product is reached?"


def run(options: Options) -> dict:
    """Operations are those of the network: what an optimiser does besides costs time only."""
    calls: dict[str, Callable[[], object]] = {
        f"training step, {kind}": training.our_step(True, kind, options.batch)[1]
        for kind in ("adamw", "muon")
    }
    calls["sampling with guidance"] = sampling.our_walk(options)
    step = flops(training.our_step(True, "adamw", options.batch)[1])
    walk = flops(calls["sampling with guidance"])
    operations = dict.fromkeys(calls, step) | {"sampling with guidance": walk}
    calls["product"] = product()
    seconds = interleaved(calls, options)
    operations["product"] = PRODUCT_FLOPS
    return {"operations": operations, "seconds": seconds}


def rows(result: dict) -> list[Row]:
    rate = {
        name: [operations / seconds for seconds in result["seconds"][name]]
        for name, operations in result["operations"].items()
    }
    peaks = rate.pop("product")
    table = [
        Row(name, "% of peak", [100 * r / p for r, p in zip(rates, peaks, strict=True)])
        for name, rates in rate.items()
    ]
    return [*table, Row("matrix product, the peak", "GFLOP/s", [p / 1e9 for p in peaks])]
