"""Faults in what chapter 5.4 measures and shows: counts, distances, known ends, films."""

from mutants import Mutant

FILM = "tests/test_film.py"
KNOWN = "tests/test_known_answer.py"
KEPT = "tests/test_results.py"
RESULTS = "tests/test_sampling_results.py"

MUTANTS = [
    Mutant(
        0, 'Heun is charged for its last step twice', 'shapes_results.py',
        'return 2 * steps - 1 if step is heun else steps',
        'return 2 * steps if step is heun else steps', (RESULTS,),
    ),
    Mutant(
        0, 'Heun gets a step less than it can pay for', 'sampling_results.py',
        'return (most + 1) // 2 if step is heun else most',
        'return max(1, most // 2) if step is heun else most', (RESULTS,),
    ),
    Mutant(
        0, 'the best point is the one with the most evaluations', 'sampling_results.py',
        'best = max(points, key=lambda point: point["joint"]["mean"])',
        'best = max(points, key=lambda point: point["evaluations"])', (RESULTS,),
    ),
    Mutant(
        0, 'kept runs of other weights are taken', 'kept.py',
        'None if model is None else digest(model)', 'None', (KEPT,),
    ),
    Mutant(
        0, 'kept runs of other settings are taken', 'kept.py',
        'json.dumps([settings, ', 'json.dumps([', (KEPT,),
    ),
    Mutant(
        0, 'the distance is a sum', 'sampling_results.py',
        'return float((a.double() - b.double()).square().mean().sqrt())',
        'return float((a.double() - b.double()).square().sum().sqrt())', (RESULTS,),
    ),
    Mutant(
        0, 'even points reach into the tails', 'known_answer.py',
        'share = (torch.arange(n, dtype=torch.float64) + 0.5) / n',
        'share = (torch.arange(n, dtype=torch.float64) + 0.5) / (n + 1)', (KNOWN,),
    ),
    Mutant(
        0, 'the exact end turns the order of the points round', 'known_answer.py',
        'wanted = torch.special.ndtr(tables.numbers("z_T", z_T))',
        'wanted = torch.special.ndtr(-tables.numbers("z_T", z_T))', (KNOWN,),
    ),
    Mutant(
        0, 'clusters have a variance for a standard deviation', 'known_answer.py',
        'schedule, shares, means[:, None], stds[:, None, None].square()',
        'schedule, shares, means[:, None], stds[:, None, None]', (KNOWN,),
    ),
    Mutant(
        0, 'settled once is settled for good', 'film.py',
        'return same.flip(0).cumprod(0).flip(0).bool()',
        'return same.cumsum(0).bool()', (FILM,),
    ),
    Mutant(
        0, 'a kind is the first object alone', 'film.py',
        'shares[..., columns].mean(-1)',
        'shares[..., columns[0]]', (FILM,),
    ),
    Mutant(
        0, 'a replay draws the same noise for every seed', 'film.py',
        'generator = seeded(seed)',
        'generator = seeded(0 * seed)', (FILM,),
    ),
    Mutant(
        0, 'an animation never rests', 'film.py',
        'duration=wait, loop=2,',
        'duration=wait, loop=0,', (FILM,),
    ),
]  # fmt: skip
