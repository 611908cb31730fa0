"""Faults in the core: schedules, forward process, parameterisations, denoisers, samplers."""

from mutants import Mutant

SCHEDULE = ("tests/library/test_schedule.py",)
PROCESS = ("tests/library/test_process.py",)
PREDICT = ("tests/library/test_predict.py",)
DENOISE = ("tests/library/test_denoise.py",)
SAMPLERS = ("tests/library/test_samplers.py",)
NAMES = ("tests/library/test_public_names.py",)

MUTANTS = [
    Mutant(
        1, "noise scaled by beta_t in the Markov step", "minildm/process.py",
        "expand(variance.sqrt(), z_s) * eps", "expand(variance, z_s) * eps", PROCESS,
    ),
    Mutant(
        2, "alpha_bar_{t-1} for alpha_bar_t in the jump", "minildm/process.py",
        "    signal, noise = schedule(t)\n", "    signal, noise = schedule(t - 1 * (t > 0))\n", PROCESS,
    ),
    Mutant(
        3, "posterior variance beta_t (function)", "minildm/process.py",
        "expand(v * (noise_s / noise_t) ** 2, z_t)", "expand(v, z_t)", PROCESS,
    ),
    Mutant(
        3, "posterior variance beta_t (table)", "minildm/schedule.py",
        "self.noise_variance[:-1] / self.noise_variance[1:]", "1.0", SCHEDULE,
    ),
    Mutant(
        4, "posterior mean coefficients swapped", "minildm/process.py",
        "expand(from_z_t, z_t) * z_t + expand(from_z0, z_t) * z0",
        "expand(from_z0, z_t) * z_t + expand(from_z_t, z_t) * z0", PROCESS,
    ),
    Mutant(
        5, "noise added at the step to t = 0", "minildm/samplers.py",
        "    z0 = denoise(z, t).z0\n    if schedule(s)[1] == 0:\n        return z0, z0, None\n",
        "    z0 = denoise(z, t).z0\n    if schedule(s)[1] == 0:\n"
        "        return z0 + schedule.transition(t, s)[1].sqrt() * draw(z), z0, None\n", SAMPLERS,
    ),
    Mutant(
        6, "variance for the standard deviation (Gaussian.sample)", "minildm/process.py",
        "self.var.sqrt() * eps", "self.var * eps", PROCESS,
    ),
    Mutant(
        6, "variance for the standard deviation (ddim)", "minildm/samplers.py",
        "std = eta * noise_s * fresh.sqrt()", "std = eta * noise_s**2 * fresh", SAMPLERS,
    ),
    Mutant(
        7, "last level alpha_bar_1 instead of clean data", "minildm/schedule.py",
        "+ steps) // (2 * steps)", "+ steps).floor_divide(2 * steps).clamp(min=1)", SCHEDULE,
    ),
    Mutant(
        8, "time grid without T", "minildm/schedule.py",
        "torch.arange(steps, -1, -1) + steps", "torch.arange(steps - 1, -1, -1) + steps", SCHEDULE,
    ),
    Mutant(
        8, "time grid without 0", "minildm/schedule.py",
        "torch.arange(steps, -1, -1) + steps", "torch.arange(steps, 0, -1) + steps", SCHEDULE,
    ),
    Mutant(
        8, "time grid shifted by 1", "minildm/schedule.py",
        "+ steps) // (2 * steps)", "+ steps).floor_divide(2 * steps).sub(1).clamp(min=0)", SCHEDULE,
    ),
    Mutant(
        8, "Karras grid without T", "minildm/schedule.py",
        "        grid[-1] = self.T\n", "        grid[-1] = self.T - 1\n", SCHEDULE,
    ),
    Mutant(
        9, "next time recomputed instead of read from the grid", "minildm/samplers.py",
        "        for t, s in pairwise(times):\n",
        "        for t, s in pairwise(times):\n"
        "            s = (t - schedule.T // (len(times) - 1)).clamp(min=0) if t > 1 else s\n", SAMPLERS,
    ),
    Mutant(
        10, "the 1/2 missing in DPM-Solver++(2M)", "minildm/samplers.py",
        "h / (2 * h_previous)", "h / h_previous", SAMPLERS,
    ),
    Mutant(
        11, "step ratio inverted in 2M", "minildm/samplers.py",
        "h / (2 * h_previous)", "h_previous / (2 * h)", SAMPLERS,
    ),
    Mutant(
        12, "Heun without averaging", "minildm/samplers.py",
        "z0 = (z0 + denoise(from_z * z + from_z0 * z0, s).z0) / 2",
        "z0 = denoise(from_z * z + from_z0 * z0, s).z0", SAMPLERS,
    ),
    Mutant(
        13, "sign of v flipped", "minildm/predict.py",
        "(-noise, signal)", "(noise, -signal)", PREDICT,
    ),
    Mutant(
        14, "flow direction reversed", "minildm/predict.py",
        "(-ones_like(signal), ones_like(signal))", "(ones_like(signal), -ones_like(signal))", PREDICT,
    ),
    Mutant(
        15, "guidance 1 + w for w", "minildm/denoise.py",
        "z0_u + guidance * (z0_c - z0_u), eps_u + guidance * (eps_c - eps_u)",
        "z0_u + (1 + guidance) * (z0_c - z0_u), eps_u + (1 + guidance) * (eps_c - eps_u)", DENOISE,
    ),
    Mutant(
        16, "z0 clipped without deriving eps again", "minildm/denoise.py",
        "torch.where(noise > 0, (z_t - signal * z0) / noise, plain.eps)", "plain.eps", DENOISE,
    ),
    Mutant(
        17, "eta on the variance", "minildm/samplers.py",
        "std = eta * noise_s", "std = eta**0.5 * noise_s", SAMPLERS,
    ),
    Mutant(
        17, "eta on the variance, consistently", "minildm/samplers.py",
        "    ratio, v = schedule.transition(t, s)\n", "    eta = eta**0.5\n    ratio, v = schedule.transition(t, s)\n",
        SAMPLERS,
    ),
    Mutant(
        18, "mixture weights ignored by the oracle", "minildm/denoise.py",
        "log_r = weights.log() - 0.5", "log_r = -0.5", DENOISE,
    ),
    Mutant(
        19, "covariance for its root in the oracle", "minildm/denoise.py",
        "total = signal**2 * variances + noise**2", "total = signal**2 * variances**2 + noise**2", DENOISE,
    ),
    Mutant(
        20, "zero-terminal-SNR rescaling without the last entry", "minildm/schedule.py",
        "rescaled[0], rescaled[-1] = betas[0], 1.0", "rescaled[0], rescaled[-1] = betas[0], betas[-1]",
        SCHEDULE,
    ),
    Mutant(
        21, "log(signal/noise) confused with log SNR (discrete)", "minildm/schedule.py",
        "(self.log_alpha_bar[t] - self.noise_variance[t].log()) / 2",
        "self.log_alpha_bar[t] - self.noise_variance[t].log()", SCHEDULE,
    ),
    Mutant(
        21, "log(signal/noise) confused with log SNR (continuous)", "minildm/schedule.py",
        "return signal.log() - noise.log()", "return 2 * (signal.log() - noise.log())", SAMPLERS,
    ),
    Mutant(
        22, "float32 tables", "minildm/schedule.py",
        "        log_alpha = torch.log1p(-betas)\n",
        "        log_alpha = torch.log1p(-betas.float()).double()\n", SCHEDULE,
    ),
    Mutant(
        22, "float32 signal and noise", "minildm/schedule.py",
        "return self._signal[t], self._noise[t]", "return self._signal[t].float(), self._noise[t].float()",
        PROCESS,
    ),
    Mutant(
        23, "cosine beta not capped", "minildm/schedule.py",
        "return betas.clamp(max=max_beta)", "return betas", SCHEDULE,
    ),
    # faults of our own
    Mutant(
        26, "0-based t given to the network", "minildm/denoise.py",
        "output = self.net(z_t, t.to(z_t.device), self.condition)",
        "output = self.net(z_t, t.to(z_t.device) - 1, self.condition)", DENOISE,
    ),
    Mutant(
        0, "cumulative sum in plain float64", "minildm/schedule.py",
        "(log_alpha * 2**40).round() / 2**40", "log_alpha * 0", SCHEDULE,
    ),
    Mutant(
        0, "1 - alpha_bar by subtraction", "minildm/schedule.py",
        "torch.expm1(self.log_alpha_bar).abs()", "1 - self.alpha_bar", SCHEDULE,
    ),
    Mutant(
        0, "singular solve not refused", "minildm/predict.py",
        "        checks.solvable(self.name, det, signal, noise, z_t)\n", "", PREDICT,
    ),
    Mutant(
        0, "signal and noise swapped in the solve", "minildm/predict.py",
        "return b_det * z_t - noise_det * output, signal_det * output - a_det * z_t",
        "return b_det * z_t - signal_det * output, noise_det * output - a_det * z_t", PREDICT,
    ),
    Mutant(
        0, "branches exchanged in the shared guidance call", "minildm/denoise.py",
        "torch.cat([c.condition, u.condition])", "torch.cat([u.condition, c.condition])", DENOISE,
    ),
    Mutant(
        0, "responsibilities without the determinant", "minildm/denoise.py",
        "(along**2 / total + total.log()).sum(-1)", "(along**2 / total).sum(-1)", DENOISE,
    ),
    Mutant(
        0, "oracle at t = 0 divides by nothing", "minildm/denoise.py",
        "clean = noise.reshape(-1, 1) == 0", "clean = noise.reshape(-1, 1) < 0", DENOISE,
    ),
    Mutant(
        0, "transition ratio not square-rooted", "minildm/schedule.py",
        "return (difference / 2).exp(), -torch.expm1(difference)",
        "return difference.exp(), -torch.expm1(difference)", SCHEDULE,
    ),
    Mutant(
        0, "2M uses the new estimate twice", "minildm/samplers.py",
        "return z_s, z0, (z0, h)", "return z_s, z0, (D, h)", SAMPLERS,
    ),
    Mutant(
        0, "times on the Karras grid repeat", "minildm/schedule.py",
        "grid.append(min(max(t, grid[-1] + 1), self.T - steps + i))", "grid.append(t)", SCHEDULE,
    ),
    Mutant(
        0, "no warning where eps-prediction loses the signal", "minildm/checks/__init__.py",
        "if later > 10 * left:", "if later > 10 * left > 0:", SCHEDULE,
    ),
    Mutant(
        0, "eps-prediction warned of by the signal at T alone", "minildm/checks/__init__.py",
        "if later > 10 * left:", "if left < 1e-3:", SCHEDULE,
    ),
    Mutant(
        0, "importing the package imports PyTorch", "minildm/__init__.py",
        "import importlib\n", "import importlib\n\nimport torch\n", NAMES,
    ),
    Mutant(
        0, "a public name that editors do not know of", "minildm/__init__.py",
        '"engine.optim": "EMA Muon"', '"engine.optim": "EMA Muon make_optimizer"', NAMES,
    ),
    Mutant(
        0, "a wrong name is None", "minildm/__init__.py",
        "    near = difflib", "    return None\n    near = difflib", NAMES,
    ),
]  # fmt: skip
