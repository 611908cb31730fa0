"""Faults in what chapter 5.3 writes, and in what tells a bug from slow training."""

from mutants import Mutant

DIAGNOSIS = "tests/book/test_diagnosis.py"
RECIPE = "tests/book/test_training_chapter.py"
STEPS = "tests/book/test_training_steps.py"
TEXT = "chapters/source/05_3_training.md"

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
    Mutant(0, 'the written schedule is as noisy as the step before', TEXT,
        'beta = (1 - f[1:] / f[:-1]).clamp(max=largest)',
        'beta = (1 - f[1:] / f[0]).clamp(max=largest)', (RECIPE,)),
    Mutant(0, 'the written target has the sum for the difference', TEXT,
        'v = a * eps - b * z0  ', 'v = a * eps + b * z0  ', (RECIPE,)),
    Mutant(0, 'the written AdamW puts the decay into every step, and not into the weight', TEXT,
        'p.mul_(1 - lr * self.weight_decay)', 'p.sub_(lr * self.weight_decay)', (STEPS,)),
    Mutant(0, 'the written AdamW does not make up for its memories of zeros', TEXT,
        'second = second / (1 - b2**k)', 'second = second / (1 - b2)', (STEPS,)),
    Mutant(0, 'a fault of the loop stays when it is mended', 'chapters/book/ch05_3_training/writing.py',
        '"average": ("0.01)", "0.99)"),', '"average": ("0.02)", "0.99)"),', (RECIPE,)),
]  # fmt: skip
