"""Faults in the closed forms and laboratories of chapter 8, and in the cost of a training."""

from mutants import Mutant

OUTLOOK = "tests/book/test_closed_forms.py"
SCALING = "tests/book/test_closed_forms.py"
LABS = "tests/book/test_outlook_labs.py"

MUTANTS = [
    Mutant(0, 'the amplitude that is left stands for the power', 'chapters/book/ch08_outlook/closed_forms.py',
        '(signal**2 * variance + noise**2).rsqrt()',
        '(signal * variance + noise**2).rsqrt()', (OUTLOOK,)),
    Mutant(0, 'the mean is lost like the variance', 'chapters/book/ch08_outlook/closed_forms.py',
        '1 - signal * variance.sqrt() * spread',
        '1 - signal * variance * spread', (OUTLOOK,)),
    Mutant(0, "the flow's clock shows powers", 'chapters/book/ch08_outlook/closed_forms.py',
        'return noise / (signal + noise)',
        'return noise**2 / (signal**2 + noise**2)', (OUTLOOK,)),
    Mutant(0, 'clusters do not shrink on the way', 'chapters/book/ch08_outlook/closed_forms.py',
        '((1 - t) ** 2 * std**2 + t**2) ** 0.5',
        '(std**2 + t**2) ** 0.5', (OUTLOOK,)),
    Mutant(0, 'the velocity is that of z0 alone', 'chapters/book/ch08_outlook/closed_forms.py',
        'total += (eps - z0 - chord)',
        'total += (-z0 - chord)', (OUTLOOK,)),
    Mutant(0, 'an error is not squared', 'chapters/book/ch08_outlook/closed_forms.py',
        'return (det / signal) ** 2 / (slope * schedule.T)',
        'return (det / signal) / (slope * schedule.T)', (OUTLOOK,)),
    Mutant(0, 'how long a level is visited does not count', 'chapters/book/ch08_outlook/closed_forms.py',
        '/ (slope * schedule.T)',
        '/ schedule.T', (OUTLOOK,)),
    Mutant(0, 'a backward pass costs as much as a forward one', 'chapters/book/ch08_outlook/closed_forms.py',
        'BACKWARD = 2.0',
        'BACKWARD = 1.0', (SCALING,)),
    Mutant(0, 'frozen networks run backward', 'chapters/book/ch08_outlook/closed_forms.py',
        '((1 + BACKWARD) * p.flops + p.fixed)',
        '(1 + BACKWARD) * (p.flops + p.fixed)', (SCALING,)),
    Mutant(0, 'what is not used makes a training shorter', 'chapters/book/ch08_outlook/closed_forms.py',
        'return flops / (peak * utilisation) / 3600',
        'return flops * utilisation / peak / 3600', (SCALING,)),
    Mutant(0, 'ink leaves the range of pixels', 'chapters/book/ablations/brightness_lab.py',
        'return ground - INK * ground.sign() * stroke',
        'return ground + INK * ground.sign() * stroke', (LABS,)),
    Mutant(0, 'noised pages are started from noise alone', 'chapters/book/ablations/brightness_lab.py',
        '"from noised pages": diffuse(schedule, z0[: config.samples], schedule.T, noise),',
        '"from noised pages": noise,', (LABS,)),
    Mutant(0, "the cosine grid is even in the noise", 'chapters/book/ablations/flow_lab.py',
        'return torch.atan2(wanted, 1 - wanted) / (torch.pi / 2)',
        'return torch.asin(wanted) / (torch.pi / 2)', (LABS,)),
    Mutant(0, 'the other grid is the same grid', 'chapters/book/ablations/flow_lab.py',
        'judged(model, flow_grid(schedule, n), config.samples)',
        'judged(model, schedule.times(2 * n), config.samples)', (LABS,)),
]  # fmt: skip
