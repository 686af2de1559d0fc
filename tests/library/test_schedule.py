"""The schedule: the paper's numbers, its identities, Bayes' rule, and diffusers as an independent witness."""

import math
import warnings

import numpy as np
import pytest
import torch
from conftest import seeded
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas

SCHEDULES = {"linear": linear_betas, "cosine": cosine_betas}


def test_linear_at_1000_is_the_papers():
    betas = linear_betas(1000)
    assert betas.shape == (1000,) and betas.dtype == torch.float64
    assert betas[0] == pytest.approx(1e-4) and betas[-1] == pytest.approx(0.02)
    assert torch.allclose(betas.diff(), betas.diff()[0])


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@given(T=st.integers(2, 3000))
def test_any_T_ends_in_noise(make, T):
    betas = make(T)
    assert betas.shape == (T,) and (betas > 0).all() and (betas <= 0.999).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NoiseSchedule(betas).alpha_bars[-1] < 1e-3


def test_a_short_schedule_with_1000_step_betas_warns():
    """The commonest mistake in published lessons: 36 % of the picture's amplitude is left at T = 200."""
    with pytest.warns(UserWarning, match="x_T is not noise"):
        schedule = NoiseSchedule(torch.linspace(1e-4, 0.02, 200))
    assert schedule.alpha_bars[-1].sqrt() == pytest.approx(0.36, abs=0.01)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_arrays_start_at_the_clean_image(make):
    schedule = NoiseSchedule(make(100))
    assert schedule.T == 100
    for array in (schedule.betas, schedule.alphas, schedule.alpha_bars, schedule.snr):
        assert array.shape == (101,) and array.dtype == torch.float64 and array.device.type == "cpu"
    assert schedule.betas[0] == 0 and schedule.alpha_bars[0] == 1 and schedule.snr[0] == math.inf
    assert torch.allclose(schedule.alpha_bars[7], (1 - schedule.betas[1:8]).prod())
    assert (schedule.snr.diff() < 0).all()


def test_time_zero_is_the_picture(schedule, garments):
    noise = torch.randn(garments.shape, generator=seeded())
    assert torch.equal(schedule.add_noise(garments, 0, noise), garments)


def test_each_image_can_have_its_own_time(schedule, garments):
    x_0, t = garments[:3], torch.tensor([1, 500, 1000])
    noise = torch.randn(x_0.shape, generator=seeded())
    together = schedule.add_noise(x_0, t, noise)
    for i in range(3):
        alone = schedule.add_noise(x_0[i : i + 1], int(t[i]), noise[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


@given(t=st.integers(1, 1000), seed=st.integers(0, 99))
def test_noise_and_picture_imply_each_other(t, seed):
    schedule = NoiseSchedule(linear_betas(1000))
    x_0, noise = torch.randn(2, 4, 3, generator=seeded(seed), dtype=torch.float64)
    x_t = schedule.add_noise(x_0, t, noise)
    assert torch.allclose(schedule.predict_noise(x_t, t, x_0), noise, atol=1e-9)
    assert torch.allclose(schedule.predict_x_0(x_t, t, noise), x_0, atol=1e-9)


@pytest.mark.parametrize(
    "t, s", [(2, 1), (10, 9), (300, 299), (999, 998), (1000, 999), (10, 1), (300, 20), (1000, 600)]
)
def test_posterior_is_bayes_rule(schedule, t, s):
    """q(x_s | x_t, x_0) on a grid: q(x_t | x_s) q(x_s | x_0), normalised numerically, for short steps and long ones."""
    x_0, x_t = 0.4, -0.3
    mean, variance = schedule.posterior(torch.tensor([[x_t]]).double(), t, torch.tensor([[x_0]]).double(), s)
    beta, before = 1 - (1 - schedule.betas[s + 1 : t + 1]).prod(), schedule.alpha_bars[s]
    grid = mean + variance.sqrt() * torch.linspace(-8, 8, 4001, dtype=torch.float64)
    log_prior = -((grid - before.sqrt() * x_0) ** 2) / (2 * (1 - before))
    log_likelihood = -((x_t - (1 - beta).sqrt() * grid) ** 2) / (2 * beta)
    weight = torch.softmax(log_prior + log_likelihood, dim=1)
    numeric_mean = (weight * grid).sum()
    assert numeric_mean == pytest.approx(mean.item(), rel=1e-6)
    assert (weight * (grid - numeric_mean) ** 2).sum() == pytest.approx(variance.item(), rel=1e-6)


@pytest.mark.parametrize("t, s", [(1, None), (1, 0), (700, 0)])
def test_posterior_at_time_0_is_the_picture(schedule, garments, t, s):
    mean, variance = schedule.posterior(torch.randn(garments.shape, generator=seeded()), t, garments, s)
    assert torch.allclose(mean, garments, atol=1e-6) and (variance == 0).all()


def test_posterior_takes_each_images_own_step(schedule, garments):
    x_0, x_t, t, s = garments[:3], garments[3:6], torch.tensor([1, 500, 1000]), torch.tensor([0, 499, 20])
    mean, variance = schedule.posterior(x_t, t, x_0, s)
    for i in range(3):
        alone = schedule.posterior(x_t[i : i + 1], int(t[i]), x_0[i : i + 1], int(s[i]))
        assert torch.equal(mean[i : i + 1], alone[0]) and torch.equal(variance[i].squeeze(), alone[1])
    assert torch.equal(schedule.posterior(x_t, 500, x_0)[0], schedule.posterior(x_t, 500, x_0, 499)[0])


@pytest.mark.parametrize("name, theirs", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_parity_with_diffusers(name, theirs, garments):
    """diffusers' index is our t - 1."""
    ours = NoiseSchedule(SCHEDULES[name](1000))
    peer = DDPMScheduler(1000, beta_schedule=theirs, variance_type="fixed_small", clip_sample=False)
    assert torch.allclose(peer.alphas_cumprod.double()[:999], ours.alpha_bars[1:1000], rtol=1e-4)
    noise = torch.randn(garments.shape, generator=seeded())
    peer.alphas_cumprod = (1 - peer.betas.double()).cumprod(0)  # in float32, theirs is itself wrong by 4e-4 at small t
    for t in (1, 2, 250, 999):
        x_t = ours.add_noise(garments, t, noise)
        assert torch.allclose(x_t, peer.add_noise(garments, noise, torch.tensor([t - 1])), rtol=1e-4, atol=1e-5)
        _, variance = ours.posterior(x_t, t, garments)
        assert variance.flatten()[0].item() == pytest.approx(peer._get_variance(t - 1).item(), rel=1e-4, abs=1e-19)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_results_have_the_dtype_of_the_images(schedule, dtype):
    x = torch.zeros(2, 1, 4, 4, dtype=dtype)
    assert schedule.add_noise(x, 5, x).dtype == dtype
    assert schedule.posterior(x, 5, x)[0].dtype == dtype
    points = torch.zeros(2, 3, dtype=dtype)
    assert schedule.add_noise(points, torch.tensor([1, 2]), points).shape == (2, 3)


def test_numpys_integers_are_integers(schedule, garments):
    assert torch.equal(linear_betas(np.int64(10)), linear_betas(10))
    assert torch.equal(schedule.add_noise(garments, np.int32(5), garments), schedule.add_noise(garments, 5, garments))


@pytest.mark.parametrize("T", [1, 0, -5])
@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
def test_too_few_steps_are_refused(make, T):
    with pytest.raises(ValueError, match="^T must be at least 2"):
        make(T)
    for wrong in (10.0, True, "10"):
        with pytest.raises(TypeError, match="^T must be an integer"):
            make(wrong)


@pytest.mark.parametrize("betas", [[0.1, 1.0], [0.0, 0.1], [-0.1], [float("nan")], [], [[0.1]], [1e-17, 0.1]])
def test_bad_betas_are_refused(betas):
    """1e-17 among them: in float64 such a step keeps all of the picture, and the posterior would divide 0 by 0."""
    with pytest.raises(ValueError, match="^betas must"):
        NoiseSchedule(betas)


def test_betas_that_are_no_numbers_are_refused():
    for betas in ("b", None, ["b"], [[0.1], [0.2, 0.3]]):
        with pytest.raises(TypeError, match="^betas must be numbers"):
            NoiseSchedule(betas)


METHODS = ["add_noise", "predict_x_0", "predict_noise", "posterior"]


@pytest.mark.parametrize("method", METHODS)
def test_bad_times_are_refused(schedule, method):
    x = torch.zeros(3, 2)
    for t in (-1, 1001, torch.tensor([1, 2, 1001]), torch.tensor([1, 2]), torch.ones(3, 1, dtype=torch.int64)):
        with pytest.raises(ValueError, match="^t must"):
            getattr(schedule, method)(x, t, x)
    for t in (0.5, 1.0, torch.tensor([0.1, 0.2, 0.3]), True, torch.tensor([True] * 3), "1", None):
        with pytest.raises(TypeError, match="^t must be an integer"):
            getattr(schedule, method)(x, t, x)


@pytest.mark.parametrize("method", ["predict_noise", "posterior"])
def test_time_zero_is_refused_where_it_has_no_meaning(schedule, method):
    with pytest.raises(ValueError, match=r"^t must lie in 1\.\.1000"):
        getattr(schedule, method)(torch.zeros(3, 2), 0, torch.zeros(3, 2))


def test_a_step_goes_towards_0(schedule):
    x = torch.zeros(3, 2)
    for t, s in (
        (5, 5),
        (5, 6),
        (torch.tensor([5, 6, 7]), 5),
        (5, -1),
        (torch.tensor([5, 6, 7]), torch.tensor([1, 2])),
    ):
        with pytest.raises(ValueError, match="^s must"):
            schedule.posterior(x, t, x, s)
    with pytest.raises(TypeError, match="^s must be an integer"):
        schedule.posterior(x, 5, x, 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_bad_tensors_are_refused(schedule, method):
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="must have the shape of"):
        getattr(schedule, method)(x, 1, torch.zeros(3, 1))
    with pytest.raises(TypeError, match="must be a float tensor, got torch.int64"):
        getattr(schedule, method)(x.long(), 1, x.long())
    with pytest.raises(ValueError, match="must hold a batch of at least one"):
        getattr(schedule, method)(x[:0], 1, x[:0])
