"""Algorithm 2 before any network: the exact denoiser must sample the exact distribution; then diffusers, seeds and errors."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import seeded
from diffusers import DDPMScheduler

from ddpm_lib.loss import GaussianMixtureDenoiser
from ddpm_lib.sampling import Batched, even_times, initial_noise, reverse_step, sample, sample_trajectory, walk
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.unet import UNet


def small_unet():
    torch.manual_seed(0)
    model = UNet(base_channels=8, channel_multipliers=(1, 2))
    torch.nn.init.normal_(model.head[-1].weight, std=0.1)
    return model


def gaussian_recursion(schedule, mean, std, variance, steps=None):
    """Mean and variance of x_0 when Algorithm 2 runs with the exact denoiser of one Gaussian: each step is linear in x_t."""
    m, v = 0.0, 1.0  # of x_T
    for t, s in pairwise(even_times(schedule.T, steps)):
        before, now = schedule.alpha_bars[s], schedule.alpha_bars[t]
        beta = 1 - now / before
        gain = now.sqrt() * std**2 / (now * std**2 + 1 - now)  # E[x_0 | x_t] = mean + gain (x_t - sqrt(now) mean)
        on_x_0, on_x_t = before.sqrt() * beta / (1 - now), (1 - beta).sqrt() * (1 - before) / (1 - now)
        slope = on_x_0 * gain + on_x_t
        m = on_x_0 * (mean - gain * now.sqrt() * mean) + slope * m
        beta_tilde = (1 - before) / (1 - now) * beta
        v = slope**2 * v + (beta_tilde if variance == "beta_tilde" else beta * (s > 0))
    return float(m), float(v)


@pytest.mark.parametrize("variance, error", [("beta_tilde", -0.07), ("beta", 0.015)])
def test_finite_T_error_of_the_exact_denoiser(schedule, variance, error):
    """Even the exact denoiser does not give the exact variance at T = 1000, and each choice of variance errs its own way."""
    mean, v = gaussian_recursion(schedule, 0.4, 0.1, variance)
    assert mean == pytest.approx(0.4, abs=1e-3)
    assert v / 0.1**2 - 1 == pytest.approx(error, abs=0.01)


@pytest.mark.parametrize("steps", [None, 30, 7])
@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_oracle_of_one_gaussian_samples_what_the_recursion_predicts(variance, steps):
    """With all steps, and with few long ones that do not divide T."""
    schedule, count = NoiseSchedule(linear_betas(200)), 100_000
    oracle, options = GaussianMixtureDenoiser([0.4], [0.1], [1.0], schedule), {"clip": False, "progress": False}
    x_0 = sample(oracle, schedule, (count, 1), steps, seeded(), variance=variance, **options).double()
    mean, v = gaussian_recursion(schedule, 0.4, 0.1, variance, steps)
    assert abs(x_0.mean() - mean) < 5 * (v / count) ** 0.5
    assert abs(x_0.var() / v - 1) < 5 * (2 / count) ** 0.5


def mixture_recursion(oracle, schedule, grid, steps):
    """The exact density on a grid, pushed through all steps of Algorithm 2 but the last, and where that takes each point."""
    density = torch.exp(-(grid**2) / 2)
    density /= density.sum()
    for t, s in pairwise(even_times(schedule.T, steps)):
        x_t = grid[:, None]
        x_0 = schedule.predict_x_0(x_t, t, oracle(x_t, t))
        mean, variance = schedule.posterior(x_t, t, x_0, s)
        if s == 0:
            return density, mean[:, 0]
        kernel = torch.exp(-((grid[None, :] - mean) ** 2) / (2 * variance))  # (from, to)
        density = density @ (kernel / kernel.sum(1, keepdim=True))


@pytest.mark.parametrize("steps", [None, 15])
def test_oracle_of_a_mixture_samples_what_the_recursion_predicts(steps):
    """Weights, means and variances of both components, within five standard errors of the exact finite-T answer."""
    schedule, count = NoiseSchedule(linear_betas(100)), 40_000
    oracle = GaussianMixtureDenoiser([-0.5, 0.6], [0.1, 0.15], [0.3, 0.7], schedule)
    density, end = mixture_recursion(oracle, schedule, torch.linspace(-5, 5, 1601, dtype=torch.float64), steps)
    x_0 = sample(oracle, schedule, (count, 1), steps, seeded(), clip=False, progress=False)[:, 0].double()
    for drawn, exact in ((x_0 < 0, end < 0), (x_0 > 0, end > 0)):
        weight = density[exact].sum()
        mean = (density[exact] * end[exact]).sum() / weight
        variance = (density[exact] * (end[exact] - mean) ** 2).sum() / weight
        component = x_0[drawn]
        assert abs(len(component) / count - weight) < 5 * (weight * (1 - weight) / count) ** 0.5
        assert abs(component.mean() - mean) < 5 * (variance / len(component)) ** 0.5
        assert abs(component.var() / variance - 1) < 5 * (2 / len(component)) ** 0.5


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance, theirs", [("beta_tilde", "fixed_small"), ("beta", "fixed_large")])
def test_parity_with_diffusers(schedule, garments, clip, variance, theirs):
    """One step each from the same x_t, prediction and seed; diffusers' index is our t - 1."""
    peer = DDPMScheduler(1000, variance_type=theirs, clip_sample=clip)
    for t in (1, 20, 500, 999, 1000):
        x_t = schedule.add_noise(garments, t, torch.randn(garments.shape, generator=seeded(1)))
        noise = torch.randn(garments.shape, generator=seeded(2))
        options = {"generator": seeded(3), "clip": clip, "variance": variance}
        ours = reverse_step(lambda x, t, noise=noise: noise, x_t, t, schedule, **options)
        expected = peer.step(noise, t - 1, x_t, generator=seeded(3)).prev_sample
        assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_a_step_that_lands_on_0_adds_no_noise(schedule, garments, variance):
    for t in (1, 40):
        x_t = schedule.add_noise(garments, t, torch.randn(garments.shape, generator=seeded()))
        one, two = (
            reverse_step(lambda x, t: 0 * x, x_t, t, schedule, 0, seeded(seed), variance=variance) for seed in (1, 2)
        )
        assert torch.equal(one, two)


def test_variances_of_a_long_step_are_those_of_one_noising_step(schedule):
    """beta is the noise that comes in between s and t; beta_tilde the smaller share that is left when x_0 is known."""
    x_t = torch.zeros(200_000, 1)
    drawn = [
        reverse_step(lambda x, t: 0 * x, x_t, 500, schedule, 300, seeded(), variance=v) for v in ("beta", "beta_tilde")
    ]
    beta = 1 - schedule.alphas[301:501].prod()
    beta_tilde = (1 - schedule.alpha_bars[300]) / (1 - schedule.alpha_bars[500]) * beta
    for x_s, variance in zip(drawn, (beta, beta_tilde), strict=True):
        assert abs(x_s.var() / variance - 1) < 5 * (2 / len(x_t)) ** 0.5


def test_the_true_noise_leads_back_to_the_picture(schedule, garments):
    def oracle(x_t, t):
        return schedule.predict_noise(x_t, t, garments)

    for steps in (None, 50, 3):
        x_0 = sample(oracle, schedule, garments.shape, steps, seeded(), progress=False)
        assert torch.allclose(x_0, garments, atol=1e-5)


def test_clip_keeps_the_picture_in_range(garments):
    schedule = NoiseSchedule(linear_betas(20))

    def wild(x_t, t):
        return -3 * x_t

    assert sample(wild, schedule, (4, 1, 8, 8), generator=seeded(), progress=False).abs().max() <= 1
    assert sample(wild, schedule, (4, 1, 8, 8), generator=seeded(), clip=False, progress=False).abs().max() > 1


def test_same_seed_same_picture_and_x_T_decides_where_to_start():
    model, schedule = small_unet(), NoiseSchedule(linear_betas(10))
    shape = (2, 1, 8, 8)
    one, two, other = (sample(model, schedule, shape, generator=seeded(s), progress=False) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    generator = seeded(1)
    x_T = torch.randn(shape, generator=generator)
    assert torch.equal(sample(model, schedule, shape, generator=generator, x_T=x_T, progress=False), one)


def test_trajectory_runs_from_x_T_to_the_sample():
    model, schedule = (lambda x_t, t: 0.5 * x_t), NoiseSchedule(linear_betas(100))
    frames = sample_trajectory(model, schedule, (3, 2), generator=seeded(4), progress=False, frames=11)
    assert frames.shape == (11, 3, 2)
    assert torch.equal(frames[0], torch.randn(3, 2, generator=seeded(4)))
    assert torch.equal(frames[-1], sample(model, schedule, (3, 2), generator=seeded(4), progress=False))
    assert even_times(100, 10) == list(range(100, -1, -10))
    assert sample_trajectory(model, schedule, (3, 2), progress=False, frames=101).shape == (101, 3, 2)
    assert sample_trajectory(model, schedule, (3, 2), steps=20, progress=False, frames=21).shape == (21, 3, 2)


def test_even_times_are_different_and_run_from_T_to_0():
    for T, steps in ((1000, 50), (1000, 7), (10, 9), (10, np.int64(10)), (3, 1)):
        times = even_times(T, steps)
        assert len(times) == steps + 1 and times[0] == T and times[-1] == 0
        assert all(t > s and abs(t - s - T / steps) < 1 for t, s in pairwise(times))
    assert even_times(5) == [5, 4, 3, 2, 1, 0]


def test_a_walk_takes_any_step_along_any_times_one_state_at_a_time():
    """Up or down, whole times or not: here each step only notes where it was."""
    visited = []

    def step(x, t, s):
        visited.append((t, s))
        return x + s - t

    for times in ([3, 2, 0], [0.0, 0.25, 1.0]):
        visited.clear()
        states = walk(step, times[0], times, progress=False)
        assert next(states) == (times[0], times[0]) and not visited  # nothing is computed before it is asked for
        assert [(t, x) for t, x in states] == [(t, t) for t in times[1:]] and visited == list(pairwise(times))


def test_dropout_is_off_while_sampling_and_a_dropped_walk_leaves_no_trace():
    class Watch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.trained = torch.nn.Dropout().eval(), torch.nn.Dropout()

        def forward(self, x_t, t):
            assert not self.training and not self.trained.training
            return x_t

    model, schedule = Watch(), NoiseSchedule(linear_betas(20))
    modes = [part.training for part in model.modules()]
    states = walk(
        lambda x, t, s: reverse_step(model, x, t, schedule, s), torch.zeros(1, 2), [20, 10, 0], progress=False
    )
    next(states), next(states)
    assert [part.training for part in model.modules()] == modes == [True, False, True]  # in the middle of the walk
    assert torch.is_grad_enabled()
    sample(model, schedule, (1, 2), progress=False)
    assert [part.training for part in model.modules()] == modes


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_sampling_follows_the_models_dtype(dtype):
    """The noise is drawn in float32 and cast, so that a seed gives one picture, up to the rounding of the type."""
    model, schedule = small_unet(), NoiseSchedule(linear_betas(100))
    full = sample(model, schedule, (2, 1, 8, 8), 10, seeded(), progress=False)
    rough = sample(copy.deepcopy(model).to(dtype), schedule, (2, 1, 8, 8), 10, seeded(), progress=False)
    assert rough.dtype == dtype and (rough.float() - full).abs().mean() < 0.05


def test_starting_noise_lies_where_the_model_is():
    assert initial_noise(torch.nn.Linear(2, 2, device="meta", dtype=torch.bfloat16), (3, 2)).device.type == "meta"
    assert initial_noise(lambda x_t, t: x_t, (3, 2)).dtype == torch.float32


def test_portions_change_nothing():
    """8 pictures, 3 at a time, with random steps: the noise is drawn for all of them, outside the model."""
    model, schedule, sizes = small_unet(), NoiseSchedule(linear_betas(50)), []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append([len(value) for value in inputs]))
    pictures = [sample(m, schedule, (8, 1, 8, 8), 5, seeded(), progress=False) for m in (model, Batched(model, 3))]
    assert torch.allclose(*pictures, atol=1e-5)
    assert sizes[:5] == [[8, 8]] * 5 and sizes[5:] == [[3, 3], [3, 3], [2, 2]] * 5


def test_portions_split_every_tensor_and_nothing_else():
    def labelled(x_t, t, labels, scale=1.0, shift=None):
        return x_t * scale + (t + labels)[:, None] + shift

    x_t, t, labels = torch.zeros(5, 2), torch.arange(5), torch.arange(5) * 10
    answer = labelled(x_t, t, labels, scale=2.0, shift=x_t)
    assert torch.equal(Batched(labelled, 2)(x_t, t, labels, scale=2.0, shift=x_t), answer)
    with pytest.raises(ValueError, match="^size must be at least 1, got 0"):
        Batched(labelled, 0)


def test_each_image_can_be_at_its_own_time(schedule, garments):
    x_t, t = garments[:3], torch.tensor([1, 500, 1000])

    def model(x, t):
        return 0.1 * x

    together = reverse_step(model, x_t, t, schedule, generator=seeded())
    assert together.shape == x_t.shape
    assert torch.allclose(together[:1], reverse_step(model, x_t[:1], 1, schedule))
    s = torch.tensor([0, 300, 999])
    long = reverse_step(model, x_t, t, schedule, s, seeded())
    assert torch.equal(long[2], together[2]) and torch.allclose(long[0], together[0])


def test_bad_input_is_refused(schedule, garments):
    def model(x_t, t):
        return x_t

    with pytest.raises(ValueError, match="^variance must be 'beta_tilde' or 'beta'"):
        sample(model, schedule, (1, 2), variance="learned", progress=False)
    for shape in ((0, 1, 8, 8), (4,), (2, -1)):
        with pytest.raises(ValueError, match="^shape must"):
            sample(model, schedule, shape, progress=False)
    for frames in (1, 0, 1002):
        with pytest.raises(ValueError, match="^frames must"):
            sample_trajectory(model, schedule, (1, 2), frames=frames, progress=False)
    for t in (0, 1001):
        with pytest.raises(ValueError, match=r"^t must lie in 1\.\.1000"):
            reverse_step(model, garments, t, schedule)
    for t, s in ((5, 5), (5, 6), (5, -1)):
        with pytest.raises(ValueError, match="^s must"):
            reverse_step(model, garments, t, schedule, s)
    with pytest.raises(TypeError, match="^t must be an int"):
        reverse_step(model, garments, 0.5, schedule)
    for steps, error in ((0, ValueError), (1001, ValueError), (2.0, TypeError), (seeded(), TypeError)):
        with pytest.raises(error, match="^steps must"):
            sample(model, schedule, (1, 2), steps, progress=False)
    with pytest.raises(ValueError, match=r"^x_T must have the shape \(1, 2\), got \(1, 3\)"):
        sample(model, schedule, (1, 2), x_T=torch.zeros(1, 3), progress=False)
    with pytest.raises(TypeError, match="^x_t must be a float tensor"):
        reverse_step(model, garments.to(torch.uint8), 1, schedule)
