"""The 2x2 solve undoes every target, for all parameterisations and schedules."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minildm.predict import EPS, FLOW, Z0, V
from minildm.process import diffuse
from minildm.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    cosine_betas,
    linear_betas,
    ramp_betas,
    zero_terminal_snr,
)

ALL = [EPS, Z0, V, FLOW]
DISCRETE = [
    DiscreteSchedule(linear_betas()),
    DiscreteSchedule(cosine_betas()),
    DiscreteSchedule(ramp_betas(1000)),
    DiscreteSchedule(zero_terminal_snr(linear_betas())),
]
CONTINUOUS = [CosineSchedule(), FlowSchedule()]


def randn(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@given(
    st.sampled_from(ALL),
    st.sampled_from(DISCRETE + CONTINUOUS),
    st.floats(0, 1),
    st.sampled_from([(2, 2), (2, 4, 3, 3)]),
    st.integers(0, 99),
)
def test_solve_undoes_target(parameterization, schedule, u, shape, seed):
    t = torch.tensor(u).double() if schedule.T == 1.0 else torch.tensor(round(u * schedule.T))
    signal, noise = schedule(t)
    z0, eps = randn(*shape, seed=seed), randn(*shape, seed=seed + 100)
    z_t = diffuse(schedule, z0, t, eps)
    output = parameterization.target(z0, eps, signal, noise)
    det = {"EPS": signal, "Z0": -noise, "V": signal**2 + noise**2, "FLOW": signal + noise}
    det = float(det[parameterization.name])
    if det == 0:
        with pytest.raises(ValueError, match=f"{parameterization.name}-prediction"):
            parameterization.solve(output, z_t, signal, noise)
        return
    if abs(det) < 1e-290:
        return  # 1/det overflows; the difference of two such numbers has no digits left
    z0_again, eps_again = parameterization.solve(output, z_t, signal, noise)
    tolerance = 1e-14 / abs(det) + 1e-13  # the conditioning of the solve
    assert (z0_again - z0).abs().max() < 10 * tolerance
    assert (eps_again - eps).abs().max() < 10 * tolerance


def test_targets_are_what_their_names_say():
    z0, eps = randn(2, 3, seed=0), randn(2, 3, seed=1)
    signal, noise = (torch.tensor(x).double() for x in (0.6, 0.8))
    assert torch.equal(EPS.target(z0, eps, signal, noise), eps)
    assert torch.equal(Z0.target(z0, eps, signal, noise), z0)
    assert torch.allclose(V.target(z0, eps, signal, noise), 0.6 * eps - 0.8 * z0)
    assert torch.allclose(FLOW.target(z0, eps, signal, noise), eps - z0)


def test_v_and_flow_are_velocities():
    """v is dz_t/d(angle) on the cosine schedule, eps - z0 is dz_t/dt on the flow schedule."""
    z0, eps = randn(2, 3, seed=0), randn(2, 3, seed=1)
    t, h = torch.tensor(0.3).double(), 1e-6
    for schedule, parameterization, scale in [
        (CosineSchedule(), V, math.pi / 2),
        (FlowSchedule(), FLOW, 1.0),
    ]:
        ahead, behind = (diffuse(schedule, z0, t + d, eps) for d in (h, -h))
        slope = (ahead - behind) / (2 * h) / scale
        assert torch.allclose(parameterization.target(z0, eps, *schedule(t)), slope, atol=1e-8)


def test_a_batch_of_times_broadcasts_over_the_data():
    schedule = DISCRETE[0]
    t = torch.tensor([1, 400, 1000])
    signal, noise = schedule(t)
    z0, eps = randn(3, 4, 2, 2, seed=0), randn(3, 4, 2, 2, seed=1)
    for parameterization in ALL:
        batch = parameterization.target(z0, eps, signal, noise)
        for i in range(3):
            alone = parameterization.target(z0[i : i + 1], eps[i : i + 1], signal[i], noise[i])
            assert torch.allclose(batch[i], alone[0], rtol=1e-15)


def test_float32_stays_float32():
    z_t = torch.ones(2, 3)
    signal, noise = DISCRETE[0](torch.tensor([3, 900]))
    for parameterization in ALL:
        assert parameterization.target(z_t, z_t, signal, noise).dtype == torch.float32
        assert all(
            x.dtype == torch.float32 for x in parameterization.solve(z_t, z_t, signal, noise)
        )


def test_singular_solves_raise_and_name_the_way_out():
    ramp, z = DiscreteSchedule(ramp_betas(100)), torch.zeros(2, 2)
    with pytest.raises(ValueError, match="EPS-prediction.*signal = 0.*Use V"):
        EPS.solve(z, z, *ramp(100))
    with pytest.raises(ValueError, match="Z0-prediction.*noise = 0"):
        Z0.solve(z, z, *ramp(0))
    with pytest.raises(ValueError, match="EPS-prediction"):  # one bad time in a batch is enough
        EPS.solve(z, z, *ramp(torch.tensor([50, 100])))
    tiny = torch.tensor(1e-60).double()  # not zero in float64, but zero in the data's float32
    with pytest.raises(ValueError, match="EPS-prediction"):
        EPS.solve(z, z, tiny, 1 - tiny)
    V.solve(z, z, *ramp(100))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 2\)"):
        V.solve(torch.zeros(2, 3), z, *ramp(50))
