"""Faults in the stopwatches, hooks of chapter 5.6."""

from mutants import Mutant

PROBES = "chapters/book/ch05_6_gpu/probes.py"
TESTS = ("tests/book/test_probes.py",)

MUTANTS = [
    Mutant(0, 'the watch keeps the longest time', PROBES,
        'self.best[part] = min(spent', 'self.best[part] = max(spent', TESTS),
    Mutant(0, 'the first run counts', PROBES,
        'with watch("run" if run else "warm-up"):', 'with watch("run"):', TESTS),
    Mutant(0, 'views count as kernels', PROBES,
        'space == "aten" and name not in VIEWS', 'space == "aten"', TESTS),
    Mutant(0, 'the hook sees the gradient and does not change it', PROBES,
        'output.register_hook(change)', 'output.register_hook(lambda g: None)', TESTS),
    Mutant(0, 'maps of attention are kept', 'chapters/book/ch05_6_gpu/memory.py',
        '"scaled_dot_product_attention", fused', '"softsign", fused', TESTS),
]  # fmt: skip
