"""Faults in chapter 1's models, likelihood and comparison."""

from mutants import Mutant

LIKELIHOOD, RELATIVES = "tests/book/test_likelihood.py", "tests/book/test_comparison.py"

MUTANTS = [
    Mutant(
        0, 'likelihood: the divergence with the wrong sign', 'chapters/book/ch01_background/likelihood.py',
        'gained = gained + h / 2 * (div_s + div_t)',
        'gained = gained - h / 2 * (div_s + div_t)', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'likelihood: Euler for the divergence', 'chapters/book/ch01_background/likelihood.py',
        'gained = gained + h / 2 * (div_s + div_t)',
        'gained = gained + h * div_s', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'likelihood: Euler for the points', 'chapters/book/ch01_background/likelihood.py',
        'z = z + expand(h / 2, z) * (v_s + v_t)',
        'z = z + expand(h, z) * v_s', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'likelihood: only one row of the Jacobian', 'chapters/book/ch01_background/likelihood.py',
        'for k in range(z.shape[1]):',
        'for k in range(1):', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'likelihood: the point is not scaled by its norm', 'chapters/book/ch01_background/likelihood.py',
        'z0, eps = denoise(expand(norm, z) * z, t)',
        'z0, eps = denoise(z, t)', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'likelihood: the normal density of one dimension', 'chapters/book/ch01_background/likelihood.py',
        'z.shape[1] * math.log(2 * math.pi)) / 2',
        'math.log(2 * math.pi)) / 2', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'entropy: the choice of a mode is forgotten', 'chapters/book/ch01_background/likelihood.py',
        '(torch.special.entr(weights) + weights * inside)',
        '(weights * inside)', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'mixture density: weights forgotten', 'chapters/book/ch01_background/likelihood.py',
        'torch.logsumexp(weights.log() + each, dim=1)',
        'torch.logsumexp(each, dim=1) - math.log(len(weights))', (LIKELIHOOD,),
    ),
    Mutant(
        0, 'VAE: KL per number instead of in sum', 'chapters/book/ch01_background/models.py',
        'beta * D * kl_loss(q)',
        'beta * kl_loss(q)', (RELATIVES,),
    ),
    Mutant(
        0, 'GAN: the saturating loss', 'chapters/book/ch01_background/models.py',
        'return F.softplus(-self.critic(self.generator(torch.randn_like(x)))).mean()',
        'return -F.softplus(self.critic(self.generator(torch.randn_like(x)))).mean()',
        (RELATIVES,),
    ),
    Mutant(
        0, 'GAN: the critic takes data for false', 'chapters/book/ch01_background/models.py',
        'F.softplus(-real).mean()',
        'F.softplus(real).mean()', (RELATIVES,),
    ),
    Mutant(
        0, 'GAN: the penalty on the slope, not on its square', 'chapters/book/ch01_background/models.py',
        'slope.square().sum(1).mean()',
        'slope.square().sum(1).sqrt().mean()', (RELATIVES,),
    ),
    Mutant(
        0, 'IWAE: the mean of the logarithms', 'chapters/book/ch01_background/comparison.py',
        'torch.logsumexp(log_w, 0) - math.log(draws)',
        'log_w.mean(0)', (RELATIVES,),
    ),
    Mutant(
        0, 'IWAE: the encoder\'s variance is forgotten', 'chapters/book/ch01_background/comparison.py',
        '(eps.square() - z.square() + q.var.log())',
        '(eps.square() - z.square())', (RELATIVES,),
    ),
    Mutant(
        0, 'effective modes: the entropy itself', 'chapters/book/ch01_background/comparison.py',
        'torch.special.entr(shares.double()).sum().exp()',
        'torch.special.entr(shares.double()).sum()', (RELATIVES,),
    ),
    Mutant(
        0, 'largest fall: from the first value', 'chapters/book/ch01_background/comparison.py',
        'values.cummax(0).values - values',
        'values[0] - values', (RELATIVES,),
    ),
    Mutant(
        0, 'training: every step sees the first batch', 'chapters/book/ch01_background/comparison.py',
        'value = loss(batch)',
        'value = loss(points[: fit.batch])', (RELATIVES,),
    ),
    Mutant(
        0, 'training: gradients pile up', 'chapters/book/ch01_background/comparison.py',
        '                optimizer.zero_grad()\n',
        '', (RELATIVES,),
    ),
]  # fmt: skip
