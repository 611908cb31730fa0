"""What the letters of chapters 8 and 9 stand for: values that the package computed."""

from dataclasses import astuple

import torch
from latexvalue import Operator
from pageforms import shows
from registry import points
from symbols import exact, golden, table
from torch import nn

from book.ch04_3_gaussian.gaussian_case import denoising_cov, normal
from book.ch05_4_sampling.line_data import THREE
from book.ch08_outlook.closed_forms import (
    Phase,
    device_hours,
    flow_time,
    implied_weight,
    start_mismatch,
    training_flops,
)
from book.ch08_outlook.distillation import one_step_target
from book.ch08_outlook.dit import DiTBlock
from minildm.engine.optim import EMA
from minildm.predict import EPS, FLOW, V
from minildm.process import diffuse
from minildm.samplers import ddim
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    scaled_linear_betas,
)

LINEAR = DiscreteSchedule(linear_betas())


@shows("8.1")
def start_from_pure_noise():
    schedule = DiscreteSchedule(scaled_linear_betas())
    left = float(schedule.alpha_bar[-1])
    for variance, mean in ((5.0, 1.0), (40.0, -2.0), (900.0, 30.0)):
        found = start_mismatch(schedule, variance)
        yield {
            r"\text{spread of the samples}": found.spread * variance**0.5, "T": 1000,
            r"\text{spread of the data}": variance**0.5, r"\bar\alpha_T": left,
            r"\text{mean of the samples}": found.mean * mean, r"\text{mean of the data}": mean,
            "S": (left * variance + 1 - left) ** 0.5, r"\lambda": variance,
        }  # fmt: skip


@shows("8.2")
def flow_is_a_schedule():
    """A step of ddim on the flow; and any schedule's z_t, on the clock of the flow."""
    flow, z0, eps, z = FlowSchedule(), points(50, 1), points(50, 1, seed=1), points(50, 1, seed=2)
    exact_guess = THREE.denoiser(flow)
    for t, s in torch.tensor([[1.0, 0.7], [0.6, 0.1]], dtype=torch.float64):
        guess = exact_guess(z, t)
        yield {
            "z_s": ddim(z, t, s, exact_guess, flow)[0], "z_t": z, "t": t, "s": s,
            r"\hat z_0": guess.z0, r"\hat\epsilon": guess.eps, "only": (0,),
        }  # fmt: skip
    for n in (1, 300, 1000):
        time = flow_time(LINEAR, torch.tensor([n])).double()
        yield table(LINEAR) | {
            "t'": time, "z'": diffuse(flow, z0, time.expand(50), eps), "t": n, "only": (2, 3),
            "z_t": diffuse(LINEAR, z0, n, eps), "tolerance": 1e-6,
        }  # fmt: skip


@shows("8.3")
def weights_on_one_axis():
    t, d = 0.37, 1e-3
    time = torch.tensor([t], dtype=torch.float64)
    z_t, eps = points(1), points(1, seed=1)
    for schedule, target, only in (
        (FlowSchedule(), FLOW, (0, 1)), (CosineSchedule(), V, (0, 2)), (FlowSchedule(), EPS, (0,))
    ):  # fmt: skip
        signal, noise = schedule(time)
        output = [
            target.target((z_t - noise * e) / signal, e, signal, noise) for e in (eps, eps + d)
        ]
        level = [2 * schedule.half_log_snr(time + x) for x in (-1e-5, 0, 1e-5)]
        weight = implied_weight(schedule, target, time)
        yield {
            r"w(\ell)": weight, r"w_{\text{flow}}(\ell)": weight, "only": only,
            r"w_{v, \text{cosine}}(\ell)": weight, r"\ell": level[1], "tolerance": 1e-4,
            r"\frac{\partial\,\text{output}}{\partial\,\epsilon}": (output[1] - output[0]) / d,
            r"\frac{dt}{d\ell}": 2e-5 / (level[2] - level[0]),
        }  # fmt: skip


@shows("8.4")
@torch.no_grad()
def gated_branches():
    torch.manual_seed(0)
    block = DiTBlock(8, heads=2).double()
    nn.init.normal_(block.modulate.weight)
    nn.init.normal_(block.modulate.bias)
    x, e = points(3, 5, 8), points(3, 8, seed=1)
    vectors = block.modulate(e).reshape(3, 6, 1, 8).unbind(1)
    b_1, a_1, g_1, _, _, _ = vectors

    def norm(x):
        return (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).sqrt()

    def equal(left, right):
        if isinstance(left, tuple):
            left, right = torch.stack(left, 1), right.reshape(3, 6, 1, 8)
        return (left - right).abs().max() < 1e-4

    h = x + g_1 * block.attend((1 + a_1) * norm(x) + b_1)
    names = ("b_1", "a_1", "g_1", "b_2", "a_2", "g_2")
    yield dict(zip(names, vectors, strict=True)) | {
        "x": x, "h": h, "y": block(x, e), "e": e, "w": block.modulate.bias, "=": equal,
        "W": lambda e: e @ block.modulate.weight.T, r"\mathrm{norm}": norm,
        r"\mathrm{attention}": block.attend, r"\mathrm{MLP}": block.mlp,
    }  # fmt: skip


@shows("8.5")
def two_steps_in_one():
    z_t, z_s = points(4, 2), points(4, 2, seed=1)
    for schedule in (DiscreteSchedule(cosine_betas(1000)), CosineSchedule()):
        t, s = schedule.times(8)[[2, 5]]
        times = [time.expand(4) for time in (t, s)]
        signals = {"t": schedule(t), "s": schedule(s)}
        yield {
            r"\tilde z_0": one_step_target(schedule, z_t, z_s, *times), "z_t": z_t, "z_s": z_s,
            "k": signals["s"][1] / signals["t"][1], "tolerance": 1e-7,
        } | {rf"\bar\alpha_{n}": signal**2 for n, (signal, _) in signals.items()}  # fmt: skip


@shows("8.6")
def cost_of_a_training():
    phases = [Phase(100, 8, 5e9, 2e9), Phase(30, 4, 7e9)]
    operations = training_flops(phases)

    def over_phases(rest):
        names = (r"\text{steps}", r"\text{batch}", "F", "G")
        return sum(rest(dict(zip(names, astuple(phase), strict=True))) for phase in phases)

    yield {
        r"\text{operations}": operations, r"\sum_{\text{phases}}": Operator(over_phases),
        r"\text{hours}": device_hours(operations, 2e12, 0.25), r"\text{peak}": 2e12,
        r"\text{utilisation}": 0.25,
    }  # fmt: skip


# --- chapter 9 ------------------------------------------------------------------------------------


@shows("9.1")
def floor_of_the_noise_loss():
    """The least error of a guess c z_t: for Gaussian data no other guess is better."""
    s, both = 0.6, exact(40, 2)
    eps = both[:, 1]
    for t in (20, 400, 800):
        z_t, bar = diffuse(LINEAR, s * both[:, :1], t, eps[:, None])[:, 0], LINEAR.alpha_bar[t]

        def least(rest, z_t=z_t):
            return rest(
                {r"\hat\epsilon": z_t * golden(lambda c: rest({r"\hat\epsilon": c * z_t}), 0, 5)}
            )

        open_ = denoising_cov(LINEAR, normal([0.0], [[s**2]]), torch.tensor(t))[0, 0]
        yield table(LINEAR) | {
            r"\min_{\hat\epsilon}": Operator(least), r"\epsilon": eps, "s": s, "t": t,
            r"\mathbb{E}": lambda x: torch.as_tensor(x).mean(), "tolerance": 1e-6,
            r"\mathrm{Var}(\epsilon \mid z_t)": bar / (1 - bar) * open_,
        }  # fmt: skip


@shows("9.2")
def share_of_the_start():
    """An average that starts at 1 and sees zeros from then on *is* the share of the start."""
    for decay, n in ((0.9, 5), (0.99, 40)):
        net = nn.Linear(1, 1, bias=False).double()
        nn.init.ones_(net.weight)
        ema = EMA(net, decay)
        ema.updates = 10_000  # after the warm-up of the decay
        nn.init.zeros_(net.weight)
        for _ in range(n):
            ema.update(net)
        share = float(ema.net.weight)
        yield {
            "d_": lambda k, each=[decay] * n: each[k], "d": decay, "n": n, "values": [decay],
            "=": lambda a, b, share=share: abs(a - share) < 1e-6 and abs(b - share) < 1e-6,
        }  # fmt: skip


@shows("9.3")
def error_of_z0():
    z_t, eps, error = points(5, 3), points(5, 3, seed=1), points(5, 3, seed=2)
    for t in (1, 300, 1000):
        before, after = (EPS.solve(e, z_t, *LINEAR(t))[0] for e in (eps, eps + error))
        yield table(LINEAR) | {
            r"\delta z_0": after - before,
            r"\delta\epsilon": error,
            "t": t,
            "tolerance": 1e-6,
        }
