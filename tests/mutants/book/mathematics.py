"""Faults in the bound (elbo.py) and in the schedule explorer, Python and JavaScript."""

from mutants import Mutant

EQUATIONS = "tests/equations/test_equations.py"
EXPLORER = "tests/book/test_explorer.py"
GAUSSIAN = "tests/book/test_gaussian_case.py"
FUZZ = "tests/library/test_fuzz.py"

MUTANTS = [
    Mutant(
        33, 'KL of the posterior with the arguments swapped, in the bound', 'chapters/book/ch04_2_derivations/elbo.py',
        'steps = _kl(truth.var[1:, :, None] * identity, S[1:], square[1:])',
        'steps = _kl(S[1:], truth.var[1:, :, None] * identity, square[1:])', (EQUATIONS,),
    ),
    Mutant(
        33, 'KL of the true step with the arguments swapped, in the gap', 'chapters/book/ch04_2_derivations/elbo.py',
        'steps = _kl(truth.cov[1:], chain.cov[1:], square)',
        'steps = _kl(chain.cov[1:], truth.cov[1:], square)', (EQUATIONS,),
    ),
    Mutant(
        33, 'KL of two Gaussians with the arguments swapped', 'chapters/book/ch04_2_derivations/elbo.py',
        'return _kl(a.cov, b.cov, (b.mean - a.mean) @ torch.linalg.solve(b.cov, b.mean - a.mean))',
        'return _kl(b.cov, a.cov, (b.mean - a.mean) @ torch.linalg.solve(a.cov, b.mean - a.mean))',
        (EQUATIONS,),
    ),
    Mutant(
        0, 'the bound without its start', 'chapters/book/ch04_2_derivations/elbo.py',
        'return self.start + self.steps.sum(0) + self.last',
        'return self.steps.sum(0) + self.last', (EQUATIONS,),
    ),
    Mutant(
        0, 'the bound forgets the noise of z_t', 'chapters/book/ch04_2_derivations/elbo.py',
        'square = square + _like(_noise(noise * from_z_t, S), square)',
        'square = square + 0', (EQUATIONS,),
    ),
    Mutant(
        0, 'the last step without its normalisation', 'chapters/book/ch04_2_derivations/elbo.py',
        'last = (square[0] + _log_det(2 * math.pi * S[0])) / 2',
        'last = (square[0] + _log_det(S[0])) / 2', (EQUATIONS,),
    ),
    Mutant(
        0, 'the weight without alpha', 'chapters/book/ch04_2_derivations/elbo.py',
        'return beta**2 / (2 * variance * alpha * schedule.noise_variance[t])',
        'return beta**2 / (2 * variance * schedule.noise_variance[t])', (EQUATIONS,),
    ),
    Mutant(
        0, 'the whole bound without the entropy', 'chapters/book/ch04_2_derivations/elbo.py',
        'bounds.append(seen + entropy(z0) - bound(schedule, chain, z0).total)',
        'bounds.append(seen - bound(schedule, chain, z0).total)', (EQUATIONS,),
    ),
    Mutant(
        0, 'the chain runs forwards', 'chapters/book/ch04_2_derivations/elbo.py',
        'for t in range(len(chain.matrix) - 1, 0, -1):',
        'for t in range(1, len(chain.matrix)):', (EQUATIONS,),
    ),
    Mutant(
        0, 'averages forget the spread of the data', 'chapters/book/ch04_2_derivations/elbo.py',
        'return (mean * torch.linalg.solve(S, mean)).sum(-1) + spread',
        'return (mean * torch.linalg.solve(S, mean)).sum(-1)', (EQUATIONS,),
    ),
    Mutant(
        0, 'marginals of many times share the first', 'chapters/book/ch04_3_gaussian/gaussian_case.py',
        'return Normal(signal * data.mean, cov)',
        'return Normal(signal[..., :1] * 0 + signal.reshape(-1)[0] * data.mean, cov)',
        (EQUATIONS, GAUSSIAN),
    ),
    Mutant(
        0, 'the gauge shows the power', 'chapters/book/ch04_4_schedule_lab/explorer.py',
        'return Gauges(float(schedule(schedule.T)[0]), float(snr[-1]), float(useful))',
        'return Gauges(float(schedule.alpha_bar[-1]), float(snr[-1]), float(useful))',
        (EXPLORER,),
    ),
    Mutant(
        0, 'the switch does nothing', 'chapters/book/ch04_4_schedule_lab/explorer.py',
        'return DiscreteSchedule(zero_terminal_snr(betas) if s.zero_terminal else betas)',
        'return DiscreteSchedule(betas)', (EXPLORER,),
    ),
    Mutant(
        0, 'samples of another schedule', 'chapters/book/ch04_4_schedule_lab/widget.py',
        'drawn = draw_samples(make_schedule(self.settings), self.sampler, self.steps)',
        'drawn = draw_samples(make_schedule(Settings()), self.sampler, self.steps)', (EXPLORER,),
    ),
    Mutant(
        0, 'JavaScript: cosine with another offset', 'chapters/book/ch04_4_schedule_lab/schedule_explorer.js',
        'const step = Math.PI / 2 / (T * 1.008);',
        'const step = Math.PI / 2 / (T * 1.08);', (EXPLORER,),
    ),
    Mutant(
        0, 'JavaScript: SNR of amplitudes', 'chapters/book/ch04_4_schedule_lab/schedule_explorer.js',
        'snr[t] = alphaBar[t] / noise2[t];',
        'snr[t] = Math.sqrt(alphaBar[t] / noise2[t]);', (EXPLORER,),
    ),
    Mutant(
        0, 'JavaScript: share of the next step', 'chapters/book/ch04_4_schedule_lab/schedule_explorer.js',
        'share[t] = t > 0 ? noise2[t - 1] / noise2[t] : 0;',
        'share[t] = t > 0 ? noise2[t] / noise2[t] : 0;', (EXPLORER,),
    ),
    Mutant(
        0, 'tables may hold NaN', 'minildm/checks/inputs.py',
        '    finite(name, found)\n    if found.numel()', '    if found.numel()', (FUZZ,),
    ),
    Mutant(
        0, 'a sum that is not finite is looked at no further', 'minildm/checks/inputs.py',
        'if tensor.is_meta or math.isfinite(tensor.detach().sum().item()):', 'if True:', (FUZZ,),
    ),
    Mutant(
        0, 'rows of -1 are the last of each attribute', 'minildm/shapes/scenes.py',
        'bad = (rows < least) |', 'bad = (rows < -1) |', ("tests/library/test_captions.py",),
    ),
    Mutant(
        0, 'a negative probability is a confident one', 'chapters/book/digit_judge.py',
        'not ((p >= 0) & (p <= 1.001)).all()', 'False', ("tests/book/test_digit_judge.py",),
    ),
]  # fmt: skip
