"""Faults in what chapter 2 measures and shows."""

from mutants import Mutant

CONCEPTS = "tests/book/test_concepts.py"

MUTANTS = [
    Mutant(0, 'the walk runs backwards', 'chapters/book/ch02_concepts/walk.py',
        'latent = straight(z_a, z_b, u)',
        'latent = straight(z_b, z_a, u)', (CONCEPTS,)),
    Mutant(0, 'pixels are mixed from the decoded pictures', 'chapters/book/ch02_concepts/walk.py',
        'pixels = straight(pair[:1], pair[1:], u)',
        'pixels = model.decode(latent)', (CONCEPTS,)),
    Mutant(0, 'the way back starts without fresh noise', 'chapters/book/ch02_concepts/walk.py',
        'z_t = diffuse(model.schedule, z, times[0], eps)',
        'z_t = z', (CONCEPTS,)),
    Mutant(0, 'the way back runs the first steps, not the last ones', 'chapters/book/ch02_concepts/walk.py',
        'model.schedule.times(steps)[-run - 1 :]',
        'model.schedule.times(steps)[: run + 1]', (CONCEPTS,)),
    Mutant(0, 'variances where standard deviations belong', 'chapters/book/ch02_concepts/walk.py',
        'else eps * flat.std(0)',
        'else eps * flat.var(0)', (CONCEPTS,)),
    Mutant(0, 'the covariance instead of its root', 'chapters/book/ch02_concepts/walk.py',
        'eps @ root(flat.T.cov())',
        'eps @ flat.T.cov()', (CONCEPTS,)),
    Mutant(0, 'the upper end of the band is a lower bound', 'chapters/book/ch02_concepts/walk.py',
        '1 - lower_bound(tries - hits, tries)',
        'lower_bound(hits, tries)', (CONCEPTS,)),
    Mutant(0, 'the verdict of the latents stands under the pixels', 'chapters/book/ch02_concepts/walk_widget.py',
        'f"pixels mixed: {said[0]}"',
        'f"pixels mixed: {said[1]}"', (CONCEPTS,)),
    Mutant(0, 'the slider of noise is not heard', 'chapters/book/ch02_concepts/walk_widget.py',
        'w["u"], w["back"])',
        'w["u"])', (CONCEPTS,)),
    Mutant(0, 'luck is subtracted, and the rest not stretched', 'chapters/book/ch02_concepts/reading.py',
        'return (share - 1 / values) / (1 - 1 / values)',
        'return share - 1 / values', (CONCEPTS,)),
    Mutant(0, 'an attribute shows with luck in it', 'chapters/book/ch02_concepts/reading.py',
        'beyond_guessing(float(p), VALUES[kind])',
        'float(p)', (CONCEPTS,)),
    Mutant(0, 'readings are compared with one another', 'chapters/book/ch02_concepts/reading.py',
        'by_kind(verdict.rows == truth)',
        'by_kind(verdict.rows == verdict.rows)', (CONCEPTS,)),
]  # fmt: skip
