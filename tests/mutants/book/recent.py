"""Faults in what chapter 8 takes from 2024 on: guidance by halves, average velocities, kernels."""

from mutants import Mutant

RECENT, EQUATIONS = "tests/book/test_recent.py", "tests/equations/test_equations.py"
WAYS = "chapters/book/ch08_outlook/guidance_ways.py"
MEAN = "chapters/book/ch08_outlook/mean_flow.py"
KERNEL = "chapters/book/ch08_outlook/kernel_distance.py"
TIMES = "chapters/book/ablations/times_lab.py"

MUTANTS = [
    Mutant(0, 'the stretch ends before its last time', WAYS,
        'low < float(t) <= high', 'low < float(t) < high', (RECENT,)),
    Mutant(0, 'guided outside of the stretch', WAYS,
        '(inside if low < float(t) <= high else outside)',
        '(outside if low < float(t) <= high else inside)', (RECENT,)),
    Mutant(0, 'the part along the estimate stays', WAYS,
        'across = d - expand(dot(d, z0_c) / dot(z0_c, z0_c), d) * z0_c',
        'across = d - 0 * expand(dot(d, z0_c) / dot(z0_c, z0_c), d) * z0_c', (RECENT,)),
    Mutant(0, 'the old eps stays beside the new estimate', WAYS,
        'return Denoised(z0, (z_t - signal * z0) / noise)',
        'return Denoised(z0, (z_t - signal * z0_c) / noise)', (RECENT,)),
    Mutant(0, 'the slope does not know that z moves', MEAN,
        'tangents = (v, torch.zeros_like(r), torch.ones_like(t))',
        'tangents = (0 * v, torch.zeros_like(r), torch.ones_like(t))', (RECENT,)),
    Mutant(0, 'the end of the step moves along', MEAN,
        'tangents = (v, torch.zeros_like(r), torch.ones_like(t))',
        'tangents = (v, torch.ones_like(r), torch.ones_like(t))', (RECENT,)),
    Mutant(0, "the slope's sign", MEAN,
        'return (v - expand(t - r, z_t) * slope).detach()',
        'return (v + expand(t - r, z_t) * slope).detach()', (RECENT,)),
    Mutant(0, 'the target is followed by the gradient', MEAN,
        'return (v - expand(t - r, z_t) * slope).detach()',
        'return v - expand(t - r, z_t) * slope', (RECENT,)),
    Mutant(0, 'the weight is followed by the gradient', MEAN,
        'error / (error.detach() + 1e-3) ** power',
        'error / (error + 1e-3) ** power', (RECENT,)),
    Mutant(0, 'every step goes all the way', MEAN,
        'z = z - (t - r) * u(z, *both)', 'z = z - t * u(z, *both)', (RECENT,)),
    Mutant(0, 'the two times are not in order', MEAN,
        't, r = torch.maximum(one, two), torch.minimum(one, two)',
        't, r = one, two', (RECENT,)),
    Mutant(0, 'pairs of a picture with itself count', KERNEL,
        '(k.sum() - k.trace()) / (n * (n - 1))', 'k.sum() / (n * (n - 1))', (RECENT,)),
    Mutant(0, 'the sets are brought to one mean each', KERNEL,
        'return (features.double() - mean) / deviation',
        'return (features.double() - features.double().mean(0)) / deviation', (RECENT,)),
    Mutant(0, 'the shift goes the other way', TIMES,
        'return shift * t / (1 + (shift - 1) * t)',
        'return t / (shift - (shift - 1) * t)', (RECENT,)),
    Mutant(0, 'the network is told the time of the clock', TIMES,
        'return self.net(z_t, self.clock(u), condition, drop)',
        'return self.net(z_t, u, condition, drop)', (RECENT,)),
]  # fmt: skip
