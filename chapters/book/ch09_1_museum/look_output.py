"""Room 3, what the network says, and how it is read: detectors and symptoms."""

import torch

from book.ch09_1_museum import scene
from book.ch09_1_museum.planted import Package

CORNERS = torch.tensor([[-1.0, -1.0], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)

# --- detectors ------------------------------------------------------------------------------------


def answers_can_be_read_back(package: Package) -> None:
    """Make a target of known z0 and eps, solve it, and get them back: for all four kinds."""
    z0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    for name in ("EPS", "Z0", "V", "FLOW"):
        kind = getattr(package.predict, name)
        signal, noise = torch.tensor(0.8).double(), torch.tensor(0.6).double()
        target = kind.target(z0, eps, signal, noise)
        got = kind.solve(target, signal * z0 + noise * eps, signal, noise)
        error = float((got[0] - z0).abs().max())
        assert error < 1e-9, f"{name}: z0 comes back wrong by {error:.2f}"


def velocity_is_a_derivative(package: Package) -> None:
    """The flow target must be the slope of z_t over t, measured with a small difference."""
    schedule = package.schedule.FlowSchedule()
    z0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    before, after = (package.process.diffuse(schedule, z0, t, eps) for t in (0.499, 0.501))
    target = package.predict.FLOW.target(z0, eps, *schedule(0.5))
    error = float((target - (after - before) / 0.002).abs().max())
    assert error < 1e-6, f"the target differs from the slope of the path by {error:.2f}"


def parts_add_up(package: Package) -> None:
    """After clipping, signal z0 + noise eps must still be z_t."""
    schedule, z_t = scene.linear(package), 3 * torch.randn(100, 2).double()
    denoise = package.denoise.clipped(scene.clusters(package, schedule), schedule)
    z0, eps = denoise(z_t, torch.tensor(400))
    signal, noise = schedule(400)
    error = float((signal * z0 + noise * eps - z_t).abs().max())
    assert error < 1e-9, f"the two parts miss z_t by {error:.2f}"


def guidance_is_a_line(package: Package) -> None:
    """Halfway, w = 1/2, lies the mean of the two. (w = 0 and 1 are often special cases.)"""
    Denoised = package.denoise.Denoised
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    middle = package.denoise.guided(
        lambda z, t: Denoised(one, one), lambda z, t: Denoised(zero, zero), 0.5
    )
    got = float(middle(zero, torch.tensor(1)).z0)
    assert got == 0.5, f"halfway between 0 and 1 is {got}"


def batching_changes_nothing(package: Package) -> None:
    """Both branches in one call must give what two calls give."""
    schedule, z, t = scene.linear(package), torch.randn(4, 2), torch.tensor(300)
    net = scene.Plane(1000)
    branches = [
        package.denoise.network_denoiser(net, schedule, package.predict.V, labels)
        for labels in (torch.tensor([0, 1, 2, 0]), torch.full((4,), 3))
    ]
    together = package.denoise.guided(*branches, 3.0)(z, t).z0
    apart = package.denoise.guided(*(lambda z, t, b=b: b(z, t) for b in branches), 3.0)(z, t).z0
    error = float((together - apart).detach().abs().max())
    assert error < 1e-5, f"one call and two calls differ by {error:.2f}"


def network_hears_the_time(package: Package) -> None:
    """A network that answers with the time it was told must have been told the sampler's time."""
    schedule = scene.linear(package)

    def parrot(z_t, t, condition):
        return t[:, None].to(z_t)

    denoise = package.denoise.network_denoiser(parrot, schedule, package.predict.Z0)
    for t in (1, 500, 1000):
        heard = int(denoise(torch.zeros(1, 1), torch.tensor(t)).z0)
        assert heard == t, f"at t = {t} the network is told {heard}"


# --- symptoms -------------------------------------------------------------------------------------


def down_the_flow(package: Package):
    """Follow the flow target from noise to data with 50 steps of Euler."""
    schedule = package.schedule.FlowSchedule()
    denoise = scene.clusters(package, schedule)
    z = torch.randn(600, 2, generator=torch.Generator().manual_seed(1))
    for t in torch.linspace(1, 0.02, 50, dtype=torch.float64):
        velocity = package.predict.FLOW.target(*denoise(z, t), *schedule(t))
        z = z - velocity / 50
    return z


def clipped_walk(package: Package):
    """Data at four corners, and a denoiser that overshoots, as guidance makes it do."""
    schedule = scene.linear(package)
    covs = (0.05**2 * torch.eye(2, dtype=torch.float64)).expand(4, 2, 2)
    exact = package.denoise.mixture_denoiser(schedule, torch.ones(4) / 4, CORNERS, covs)

    def overshoot(z_t, t):
        z0 = 1.5 * exact(z_t, t).z0
        signal, noise = schedule(t)
        return package.denoise.Denoised(z0, ((z_t - signal * z0) / noise).to(z0))

    clipped = package.denoise.clipped(overshoot, schedule)
    # 200 walks, from T to clean data: the error of the identity z_t = signal z0 + noise eps
    z = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
    times, gaps = [], []
    for t in schedule.times(25)[:-1]:
        z0, eps = clipped(z, t)
        signal, noise = schedule(t)
        gaps.append(float((signal * z0 + noise * eps - z).square().mean().sqrt()))
        times.append(int(t))
        z, *_ = package.samplers.ddim(z, t, max(t - 40, 0 * t), clipped, schedule)
    return times, gaps
