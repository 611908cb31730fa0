"""Faults in what tells a bug from slow training."""

from mutants import Mutant

DIAGNOSIS = "tests/book/test_diagnosis.py"

MUTANTS = [
    Mutant(0, 'the loss by time compares with another parameterisation', 'chapters/book/ch05_3_training/diagnosis.py',
        'parameterization.target(*pair, signal, noise) for pair',
        'V.target(*pair, signal, noise) for pair', (DIAGNOSIS,)),
    Mutant(0, 'the linear denoiser forgets the mean', 'chapters/book/ch05_3_training/diagnosis.py',
        'gaussian_denoiser(schedule, flat.mean(0), flat.T.cov())',
        'gaussian_denoiser(schedule, 0 * flat.mean(0), flat.T.cov())', (DIAGNOSIS,)),
    Mutant(0, 'the noise of a diagnosis does not depend on its seed', 'chapters/book/ch05_3_training/diagnosis.py',
        'keyed_normal((seed,), range(len(z0)), z0.shape[1:])',
        'keyed_normal((0,), range(len(z0)), z0.shape[1:])', (DIAGNOSIS,)),
]  # fmt: skip
