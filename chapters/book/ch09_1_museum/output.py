"""Room 3: what the network says, and how it is read."""

import torch

from book.ch09_1_museum import figures, scene
from book.ch09_1_museum.exhibit import Exhibit, Sighting
from book.ch09_1_museum.planted import Package

DENOISE = ("tests/library/test_denoise.py",)
CORNERS = torch.tensor([[-1.0, -1.0], [-1, 1], [1, -1], [1, 1]], dtype=torch.float64)


# --- A sign in the solution for v -----------------------------------------------------------------


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


SIGN_OF_V = Exhibit(
    name="sign-of-v",
    title="A sign in the solution for v",
    file="predict.py",
    right="return b_det * z_t - noise_det * output, signal_det",
    wrong="return b_det * z_t + noise_det * output, signal_det",
    story="z0 = signal z_t - noise v is written with a plus.",
    symptom=scene.digits,
    draw=figures.rows(),
    alt="Above, ten clear handwritten digits from 0 to 9. Below, ten shapeless grey and white "
    "patches.",
    detector=answers_can_be_read_back,
    tests=("tests/library/test_predict.py",),
    seen=(
        Sighting(
            "diffusers, pull request 1421: a reviewer saw the plus in time",
            "https://github.com/huggingface/diffusers/pull/1421",
        ),
    ),
    eye="yes",
)

# --- A flow that runs the other way ---------------------------------------------------------------


def velocity_is_a_derivative(package: Package) -> None:
    """The flow target must be the slope of z_t over t, measured with a small difference."""
    schedule = package.schedule.FlowSchedule()
    z0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    before, after = (package.process.diffuse(schedule, z0, t, eps) for t in (0.499, 0.501))
    target = package.predict.FLOW.target(z0, eps, *schedule(0.5))
    error = float((target - (after - before) / 0.002).abs().max())
    assert error < 1e-6, f"the target differs from the slope of the path by {error:.2f}"


def down_the_flow(package: Package):
    """Follow the flow target from noise to data with 50 steps of Euler."""
    schedule = package.schedule.FlowSchedule()
    denoise = scene.clusters(package, schedule)
    z = torch.randn(600, 2, generator=torch.Generator().manual_seed(1))
    for t in torch.linspace(1, 0.02, 50, dtype=torch.float64):
        velocity = package.predict.FLOW.target(*denoise(z, t), *schedule(t))
        z = z - velocity / 50
    return z


FLOW_TURNED = Exhibit(
    name="flow-turned",
    title="A flow that runs the other way",
    file="predict.py",
    right="(-ones_like(signal), ones_like(signal))",
    wrong="(ones_like(signal), -ones_like(signal))",
    story="The velocity is taken from noise to data, but followed from data to noise.",
    symptom=down_the_flow,
    draw=figures.clouds((-3.6, 3.6, -3.6, 3.6)),
    alt="Left, all points have flowed into the three clusters. Right, they have been driven "
    "away from them, and many have left the picture.",
    detector=velocity_is_a_derivative,
    tests=("tests/library/test_predict.py",),
    seen=(
        Sighting(
            "rectified-flow-pytorch, issue 14: 'I inverted the direction from noise to data'",
            "https://github.com/lucidrains/rectified-flow-pytorch/issues/14",
        ),
    ),
    eye="yes",
)

# --- Clipped z0, stale noise ----------------------------------------------------------------------


def parts_add_up(package: Package) -> None:
    """After clipping, signal z0 + noise eps must still be z_t."""
    schedule, z_t = scene.linear(package), 3 * torch.randn(100, 2).double()
    denoise = package.denoise.clipped(scene.clusters(package, schedule), schedule)
    z0, eps = denoise(z_t, torch.tensor(400))
    signal, noise = schedule(400)
    error = float((signal * z0 + noise * eps - z_t).abs().max())
    assert error < 1e-9, f"the two parts miss z_t by {error:.2f}"


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


STALE_NOISE = Exhibit(
    name="stale-noise",
    title="Clipped z0, stale noise",
    file="denoise.py",
    right="torch.where(noise > 0, (z_t - signal * z0) / noise, plain.eps)",
    wrong="plain.eps",
    story="z0 is clipped, eps is not derived again: together they are no longer z_t.",
    symptom=clipped_walk,
    draw=figures.curves("time t, from noise (right) to data (left)", "missing from z_t"),
    alt="The right line is zero at all times. The planted one rises from zero at pure noise to "
    "almost half a unit near clean data.",
    detector=parts_add_up,
    tests=DENOISE,
    seen=(
        Sighting(
            "denoising-diffusion-pytorch, pull request 84: found by comparison with GLIDE",
            "https://github.com/lucidrains/denoising-diffusion-pytorch/pull/84",
        ),
    ),
    eye="as too much contrast",
)

# --- Two meanings of w ----------------------------------------------------------------------------


def guidance_is_a_line(package: Package) -> None:
    """Halfway, w = 1/2, lies the mean of the two. (w = 0 and 1 are often special cases.)

    Code that follows the guidance paper has another w, and would be flagged: ask before you mend.
    """
    Denoised = package.denoise.Denoised
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    middle = package.denoise.guided(
        lambda z, t: Denoised(one, one), lambda z, t: Denoised(zero, zero), 0.5
    )
    got = float(middle(zero, torch.tensor(1)).z0)
    assert got == 0.5, f"halfway between 0 and 1 is {got}"


def pushed_by_guidance(package: Package):
    """How far samples of one cluster are pushed away from the others, for w from 0.5 to 4."""
    schedule = package.schedule.DiscreteSchedule(package.schedule.cosine_betas(1000))
    centre, cov = scene.MEANS[2], scene.STD**2 * torch.eye(2, dtype=torch.float64)
    outwards = centre - scene.WEIGHTS @ scene.MEANS
    asked = package.denoise.gaussian_denoiser(schedule, centre, cov)
    branches = asked, scene.clusters(package, schedule)
    scales, pushed = [k / 4 for k in range(2, 17)], []
    for w in scales:
        denoise = package.denoise.guided(*branches, w)
        z = scene.walk(package, schedule, package.samplers.ddim, 50, denoise, n=300)
        way = (z.double().mean(0) - centre) @ outwards / outwards.norm()
        pushed.append(float(way / scene.STD))
    return scales, pushed


ONE_PLUS_W = Exhibit(
    name="one-plus-w",
    title="Two meanings of w",
    file="denoise.py",
    right="z0_u + guidance * (z0_c - z0_u), eps_u + guidance * (eps_c - eps_u)",
    wrong="z0_c + guidance * (z0_c - z0_u), eps_c + guidance * (eps_c - eps_u)",
    story="The paper's w is ours minus 1; mixed up, every picture is guided by one too much.",
    symptom=pushed_by_guidance,
    draw=figures.curves("w", "pushed outwards / std", marker="o"),
    alt="How far guided samples are pushed away from the other clusters, against w. The right "
    "line rises from below zero through zero at w = 1 to 1.9 at w = 4. The planted one is the "
    "same line one unit further left, but for w = 1, where it drops to zero, onto the right one.",
    detector=guidance_is_a_line,
    tests=DENOISE,
    seen=(
        Sighting(
            "threestudio, issue 127: no mistake: another convention, reported as one",
            "https://github.com/threestudio-project/threestudio/issues/127",
        ),
        Sighting(
            "diffusers, issue 5882: 'does not match the description in the paper?'",
            "https://github.com/huggingface/diffusers/issues/5882",
        ),
        Sighting(
            "labml, issue 177: in the documentation only: a sign in its formula",
            "https://github.com/labmlai/annotated_deep_learning_paper_implementations/issues/177",
        ),
    ),
    eye="no",
)

# --- With and without, exchanged ------------------------------------------------------------------


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


BRANCHES_EXCHANGED = Exhibit(
    name="branches-exchanged",
    title="With and without, exchanged",
    file="denoise.py",
    right="torch.cat([c.condition, u.condition])",
    wrong="torch.cat([u.condition, c.condition])",
    story="Both branches share a call; one list has the condition first, the other last.",
    symptom=scene.digits,
    draw=figures.rows(),
    alt="Above, the digits 0 to 9 in order, as asked for. Below, digits and scribbles that "
    "are mostly not what was asked for.",
    detector=batching_changes_nothing,
    tests=DENOISE,
    seen=(
        Sighting(
            "OneTrainer, issue 775: positive and negative embeddings in different orders",
            "https://github.com/Nerogar/OneTrainer/issues/775",
        ),
    ),
    eye="yes, if you compare with what you asked for",
)

# --- Trained at t, asked at t - 1 -----------------------------------------------------------------


def network_hears_the_time(package: Package) -> None:
    """A network that answers with the time it was told must have been told the sampler's time."""
    schedule = scene.linear(package)

    def parrot(z_t, t, condition):
        return t[:, None].to(z_t)

    denoise = package.denoise.network_denoiser(parrot, schedule, package.predict.Z0)
    for t in (1, 500, 1000):
        heard = int(denoise(torch.zeros(1, 1), torch.tensor(t)).z0)
        assert heard == t, f"at t = {t} the network is told {heard}"


def width_by_times(package: Package):
    """How wide the clusters get that a perfect network draws, for schedules of T times."""
    counts, widths = (10, 20, 50, 100, 200, 500, 1000), []
    for T in counts:
        schedule = package.schedule.DiscreteSchedule(package.schedule.cosine_betas(T))
        exact = scene.clusters(package, schedule)

        def perfect(z_t, t, condition, exact=exact):
            return exact(z_t, t[0]).z0

        denoise = package.denoise.network_denoiser(perfect, schedule, package.predict.Z0)
        z = scene.walk(package, schedule, package.samplers.ddim, min(T, 100), denoise)
        nearest = torch.cdist(z.double(), scene.MEANS).amin(1)
        widths.append(float(nearest.square().mean().div(2).sqrt()) / scene.STD)
    return counts, widths


OFF_BY_ONE = Exhibit(
    name="off-by-one",
    title="Trained at t, asked at t - 1",
    file="denoise.py",
    right="output = self.net(z_t, t.to(z_t.device), self.condition)",
    wrong="output = self.net(z_t, t.to(z_t.device) - 1, self.condition)",
    story="Training counts times from 1, sampling from 0.",
    symptom=width_by_times,
    draw=figures.curves("number of times T", "width of a cluster / data", log="x", marker="o"),
    alt="Width of the clusters, in units of the data's, against T from 10 to 1,000. The right "
    "line rises from 0.7 to 1, as steps get finer. The planted one falls from 2 at T = 10 over "
    "1.3 at T = 50, and reaches the right one only at T = 1,000.",
    detector=network_hears_the_time,
    tests=DENOISE,
    seen=(
        Sighting(
            "notebook 18.4 of Understanding Deep Learning: what was trained at the level of "
            "t - 1 is asked at that of t + 1",
            "https://github.com/udlbook/udlbook/blob/main/Notebooks/Chap18/"
            "18_4_Families_of_Diffusion_Models.ipynb",
        ),
    ),
    eye="not with many times",
)

EXHIBITS = [SIGN_OF_V, FLOW_TURNED, STALE_NOISE, ONE_PLUS_W, BRANCHES_EXCHANGED, OFF_BY_ONE]
