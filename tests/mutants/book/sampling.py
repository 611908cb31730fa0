"""Faults in what chapter 5.4 measures and shows: counts, distances, known ends, films."""

from mutants import Mutant

WALKS = "tests/book/test_walks.py"
KNOWN = "tests/book/test_line_data.py"
KEPT = "tests/book/test_results.py"
RESULTS = "tests/book/test_measure.py"

MUTANTS = [
    Mutant(0, 'Heun is charged for its last step twice', 'chapters/book/ch05_5_text_to_image/measure_shapes.py',
        'return 2 * steps - 1 if step is heun else steps',
        'return 2 * steps if step is heun else steps', (RESULTS,)),
    Mutant(0, 'Heun gets a step less than it can pay for', 'chapters/book/ch05_4_sampling/measure.py',
        'return (most + 1) // 2 if step is heun else most',
        'return max(1, most // 2) if step is heun else most', (RESULTS,)),
    Mutant(0, 'the best point is the one with the most evaluations', 'chapters/book/ch05_4_sampling/measure.py',
        'best = max(points, key=lambda point: point["joint"]["mean"])',
        'best = max(points, key=lambda point: point["evaluations"])', (RESULTS,)),
    Mutant(0, 'kept runs of other weights are taken', 'chapters/book/results.py',
        'None if model is None else weights_digest(model)', 'None', (KEPT,)),
    Mutant(0, 'kept runs of another machine are taken', 'chapters/book/results.py',
        'json.dumps([settings, weights, machine]',
        'json.dumps([settings, weights]', (KEPT,)),
    Mutant(0, 'kept runs of other settings are taken', 'chapters/book/results.py',
        'json.dumps([settings, ', 'json.dumps([', (KEPT,)),
    Mutant(0, 'the distance is a sum', 'chapters/book/ch05_4_sampling/measure.py',
        'return float((a.double() - b.double()).square().mean().sqrt())',
        'return float((a.double() - b.double()).square().sum().sqrt())', (RESULTS,)),
    Mutant(0, 'even points reach into the tails', 'chapters/book/ch05_4_sampling/line_data.py',
        'share = (torch.arange(n, dtype=torch.float64) + 0.5) / n',
        'share = (torch.arange(n, dtype=torch.float64) + 0.5) / (n + 1)', (KNOWN,)),
    Mutant(0, 'the exact end turns the order of the points round', 'chapters/book/ch05_4_sampling/line_data.py',
        'wanted = torch.special.ndtr(inputs.numbers("z_T", z_T))',
        'wanted = torch.special.ndtr(-inputs.numbers("z_T", z_T))', (KNOWN,)),
    Mutant(0, 'clusters have a variance for a standard deviation', 'chapters/book/ch05_4_sampling/line_data.py',
        'schedule, shares, means[:, None], stds[:, None, None].square()',
        'schedule, shares, means[:, None], stds[:, None, None]', (KNOWN,)),
    Mutant(0, 'settled once is settled for good', 'chapters/book/ch05_4_sampling/walks.py',
        'return same.flip(0).cumprod(0).flip(0).bool()',
        'return same.cumsum(0).bool()', (WALKS,)),
    Mutant(0, 'a kind is the first object alone', 'chapters/book/ch05_4_sampling/walks.py',
        'shares[..., columns].mean(-1)',
        'shares[..., columns[0]]', (WALKS,)),
    Mutant(0, 'a replay draws the same noise for every seed', 'chapters/book/ch05_4_sampling/walks.py',
        'generator = seeded(seed)',
        'generator = seeded(0 * seed)', (WALKS,)),
]  # fmt: skip
