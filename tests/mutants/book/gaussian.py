"""Faults in the closed forms of chapter 4.3."""

from mutants import Mutant

TESTS = ("tests/book/test_gaussian_case.py", "tests/equations/test_equations.py")

MUTANTS = [
    Mutant(
        0, 'probes[1 : 1 + d] += root(start.cov) becomes probes[1 : 1 + d] += start.cov', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'probes[1 : 1 + d] += root(start.cov)',
        'probes[1 : 1 + d] += start.cov', TESTS,
    ),
    Mutant(
        0, 'columns = torch.cat([moved[1 : 1 + d], moved[2 + d :]]) becomes columns = moved[1 : 1 + d]', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'columns = torch.cat([moved[1 : 1 + d], moved[2 + d :]])',
        'columns = moved[1 : 1 + d]', TESTS,
    ),
    Mutant(
        0, 'columns = torch.cat([moved[1 : 1 + d], moved[2 + d :]]) becomes columns = moved[1:]', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'columns = torch.cat([moved[1 : 1 + d], moved[2 + d :]])',
        'columns = moved[1:]', TESTS,
    ),
    Mutant(
        0, 'columns.T @ columns becomes columns.T.abs() @ columns.abs()', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'columns.T @ columns',
        'columns.T.abs() @ columns.abs()', TESTS,
    ),
    Mutant(
        0, 'first = 2 + d + k * d becomes first = 2 + d', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'first = 2 + d + k * d',
        'first = 2 + d', TESTS,
    ),
    Mutant(
        0, 'noise * identity for noise**2 * identity', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'noise[..., None] ** 2 * identity',
        'noise[..., None] * identity', TESTS,
    ),
    Mutant(
        0, 'signal * data.cov for signal**2 * data.cov', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'signal[..., None] ** 2 * data.cov + noise',
        'signal[..., None] * data.cov + noise', TESTS,
    ),
    Mutant(
        0, 'v * gain) becomes ratio * gain)', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'v * gain)',
        'ratio * gain)', TESTS,
    ),
    Mutant(
        0, 'm_s - gain @ m_t for m_s - ratio * gain @ m_t', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'm_s - (ratio * gain @ m_t[..., None])',
        'm_s - (gain @ m_t[..., None])', TESTS,
    ),
    Mutant(
        0, "Wasserstein distance with one cross term", "minildm/metrics.py",
        "cov_b.trace() - 2 * inner",
        "cov_b.trace() - 1 * inner", TESTS,
    ),
    Mutant(
        0, "Wasserstein distance: product of the roots", "minildm/metrics.py",
        "eigvalsh(root_a @ cov_b @ root_a)",
        "eigvalsh(root_a @ root(cov_b))", TESTS,
    ),
    Mutant(
        0, 'variances[:, None] * variances + truth.cov.square() becomes variances[:, None] * variances', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'variances[:, None] * variances + truth.cov.square()',
        'variances[:, None] * variances', TESTS,
    ),
    Mutant(
        0, 'return self.offset + z @ self.basis.T becomes return z @ self.basis.T', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'return self.offset + z @ self.basis.T',
        'return z @ self.basis.T', TESTS,
    ),
    Mutant(
        0, 'eps @ root(cov) becomes eps @ self.cov', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'eps @ root(cov)',
        'eps @ cov', TESTS,
    ),
    Mutant(
        0, 'self.matrix @ normal.cov @ self.matrix.T + self.cov becomes self.matrix @ normal.cov @ self.matrix + self.cov', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'self.matrix @ normal.cov @ self.matrix.T + self.cov',
        'self.matrix @ normal.cov @ self.matrix + self.cov', TESTS,
    ),
    Mutant(
        0, "Wasserstein distance: product that is not symmetric", "minildm/metrics.py",
        "eigvalsh(root_a @ cov_b @ root_a)",
        "eigvalsh(cov_a @ cov_b)", TESTS,
    ),
    Mutant(
        0, '-6 * moved becomes -5 * moved', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        '-6 * moved',
        '-5 * moved', TESTS,
    ),
    Mutant(
        0, 'offset = x.mean(0) becomes offset = x.mean(0) * 0', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'offset = x.mean(0)',
        'offset = x.mean(0) * 0', TESTS,
    ),
]  # fmt: skip
