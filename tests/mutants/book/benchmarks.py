"""Faults in the benchmarks: figures that say something else than what was measured."""

from mutants import Mutant

TESTS = ("tests/repository/test_benchmarks.py",)
RACE = ("tests/repository/test_time_to_quality.py",)

MUTANTS = [
    Mutant(0, 'the second of two always follows the first', 'benchmarks/measure.py',
        '[:: -1 if round_ % 2 else 1]', '[::1]', TESTS),
    Mutant(0, 'a round that warms up counts', 'benchmarks/measure.py',
        'if round_ >= 0:', 'if round_ >= -1:', TESTS),
    Mutant(0, 'backward passes are not counted', 'chapters/book/ch05_2_unet/cost.py',
        'with sdpa_kernel(SDPBackend.MATH), ', 'with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), ', TESTS),
    Mutant(0, 'the ratio is that of two medians', 'benchmarks/run.py',
        'f"{statistics.median(each):.2f}{band}"',
        'f"{statistics.median(row.rival) / statistics.median(row.ours):.2f}{band}"', TESTS),
    Mutant(0, 'the ratio is upside down', 'benchmarks/run.py',
        '[rival / ours for', '[ours / rival for', TESTS),
    Mutant(0, 'a case writes over the others', 'benchmarks/run.py',
        '{**stored, **new}', 'new', TESTS),
    Mutant(0, 'the rival is larger', 'benchmarks/rivals.py',
        '- wanted)', '- 1.3 * wanted)', TESTS),
    Mutant(0, 'a rival is left out silently', 'benchmarks/loops.py',
        '"notes": [note] if note else []', '"notes": []', TESTS),
    Mutant(0, 'chapters are not run when asked for', 'benchmarks/chapters.py',
        '        costs = measured(options.threads)\n', '        measured(options.threads)\n', TESTS),
    Mutant(0, 'the autoencoder costs nothing', 'benchmarks/quality_table.py',
        'seconds = data["autoencoder"][clock] + point[clock]', 'seconds = point[clock]', RACE),
    Mutant(0, 'a level is reached at the point before', 'benchmarks/quality_record.py',
        'before + (time - before) *', 'before + 0 *', RACE),
    Mutant(0, 'ours is asked at the time of theirs', 'benchmarks/quality_errors.py',
        'output = net(z_t, times[t], tokens)', 'output = net(z_t, t + 1, tokens)', RACE),
    Mutant(0, 'settings that were changed are not told', 'benchmarks/quality_table.py',
        'elif value != usual.get(key, value):', 'elif key not in usual:', RACE),
]
