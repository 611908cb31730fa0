"""Faults in what chapter 7 compares and translates."""

from mutants import Mutant

COMPARE, ROSETTA = "tests/book/test_beside_diffusers.py", "tests/book/test_rosetta.py"

MUTANTS = [
    Mutant(
        0, 'our loop computes the next time', 'minildm/samplers.py',
        'z, z0, memory = step(z, t, s, denoise, schedule, memory)',
        'z, z0, memory = step(z, t, (t - schedule.T // (len(times) - 1)).clamp(min=0), denoise, schedule, memory)',
        (COMPARE,),
    ),
    Mutant(
        0, 'the float64 copy stays float32', 'chapters/book/ch07_tools/beside_diffusers.py',
        '.replace("float32", "float64")',
        '', (COMPARE,),
    ),
    Mutant(
        0, 'their network gets our time as its own', 'chapters/book/ch07_tools/beside_diffusers.py',
        't = stop.to(torch.int64) + 1',
        't = stop.to(torch.int64)', (COMPARE,),
    ),
    Mutant(
        0, 'their times are ours', 'chapters/book/ch07_tools/beside_diffusers.py',
        'stops = (times[:-1] - 1).tolist()',
        'stops = (times[:-1]).tolist()', (COMPARE,),
    ),
    Mutant(
        0, 'the latent over sigma is taken for ours', 'chapters/book/ch07_tools/beside_diffusers.py',
        'return x / (1 + theirs.sigmas[theirs.step_index] ** 2).sqrt().to(x) if over_sigma else x',
        'return x', (COMPARE,),
    ),
    Mutant(
        0, 'Heun over sigma does not average', 'chapters/book/ch07_tools/beside_diffusers.py',
        'slope = (slope + (there - z0) / expand(end, z)) / 2',
        'slope = (there - z0) / expand(end, z)', (COMPARE,),
    ),
    Mutant(
        0, 'clipping keeps the old eps in ours too', 'minildm/denoise.py',
        'return Denoised(z0, torch.where(noise > 0, (z_t - signal * z0) / noise, plain.eps))',
        'return Denoised(z0, plain.eps)', (COMPARE,),
    ),
    Mutant(
        0, 'deviation looks at the end only', 'chapters/book/ch07_tools/beside_diffusers.py',
        'for p, q in zip(a, b, strict=True))',
        'for p, q in [(a[0], b[0])])', (COMPARE,),
    ),
    Mutant(
        0, 'guidance of the paper by minus one', 'chapters/book/ch07_tools/rosetta.py',
        'lambda w: w - 1, lambda w: w + 1',
        'lambda w: w + 1, lambda w: w - 1', (ROSETTA,),
    ),
    Mutant(
        0, 'lambda is the whole log SNR', 'chapters/book/ch07_tools/rosetta.py',
        'lambda a: -_log(sigma_of(a)), lambda lam: alpha_bar_of(_exp(-lam))',
        'lambda a: -2 * _log(sigma_of(a)), lambda lam: alpha_bar_of(_exp(-lam / 2))', (ROSETTA,),
    ),
    Mutant(
        0, 'sigma is the noise factor', 'chapters/book/ch07_tools/rosetta.py',
        'return ((1 - alpha_bar) / alpha_bar) ** 0.5',
        'return (1 - alpha_bar) ** 0.5', (ROSETTA,),
    ),
    Mutant(
        0, 'rescaled the wrong way round', 'chapters/book/ch07_tools/rosetta.py',
        'factor = VARIABLES[source](signal, noise) / VARIABLES[target](signal, noise)',
        'factor = VARIABLES[target](signal, noise) / VARIABLES[source](signal, noise)', (ROSETTA,),
    ),
    Mutant(
        0, 'a 0-based network gets t plus 1', 'chapters/book/ch07_tools/rosetta.py',
        'net(z_t, t - 1, condition)',
        'net(z_t, t, condition)', (ROSETTA,),
    ),
    Mutant(
        0, 'leading forgets the offset', 'chapters/book/ch07_tools/rosetta.py',
        'stops = np.arange(steps)[::-1] * (T // steps) + offset',
        'stops = np.arange(steps)[::-1] * (T // steps)', (ROSETTA,),
    ),
    Mutant(
        0, 'the shift divides sigma', 'chapters/book/ch07_tools/rosetta.py',
        'return shift * time / (1 + (shift - 1) * time)',
        'return time / (shift + (1 - shift) * time)', (ROSETTA,),
    ),
    Mutant(
        0, 'fixed_small and fixed_large swapped', 'chapters/book/ch07_tools/rosetta.py',
        '"fixed_small": lambda schedule: schedule.posterior_variance,\n    "fixed_large": lambda schedule: schedule.beta,',
        '"fixed_small": lambda schedule: schedule.beta,\n    "fixed_large": lambda schedule: schedule.posterior_variance,', (ROSETTA,),
    ),
    Mutant(
        0, 'a blocked package counts as there', 'chapters/book/ch07_tools/beside_diffusers.py',
        'found = importlib.util.find_spec(name) is not None',
        'found = True', (COMPARE,),
    ),
]  # fmt: skip
