"""Algorithm 2 before any network: the exact denoiser must sample the exact distribution; then diffusers, seeds and errors."""

import pytest
import torch
from conftest import seeded
from diffusers import DDPMScheduler

from ddpm_lib.loss import GaussianMixtureDenoiser
from ddpm_lib.sampling import reverse_process, reverse_step, sample, sample_trajectory, trajectory_times
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.unet import UNet


def gaussian_recursion(schedule, mean, std, variance):
    """Mean and variance of x_0 when Algorithm 2 runs with the exact denoiser of one Gaussian: each step is linear in x_t."""
    m, v = 0.0, 1.0  # of x_T
    for t in range(schedule.T, 0, -1):
        before, now, beta = schedule.alpha_bars[t - 1], schedule.alpha_bars[t], schedule.betas[t]
        gain = now.sqrt() * std**2 / (now * std**2 + 1 - now)  # E[x_0 | x_t] = mean + gain (x_t - sqrt(now) mean)
        on_x_0, on_x_t = before.sqrt() * beta / (1 - now), (1 - beta).sqrt() * (1 - before) / (1 - now)
        slope = on_x_0 * gain + on_x_t
        m = on_x_0 * (mean - gain * now.sqrt() * mean) + slope * m
        beta_tilde = (1 - before) / (1 - now) * beta
        v = slope**2 * v + (beta_tilde if variance == "beta_tilde" else beta * (t > 1))
    return float(m), float(v)


@pytest.mark.parametrize("variance, error", [("beta_tilde", -0.07), ("beta", 0.015)])
def test_finite_T_error_of_the_exact_denoiser(schedule, variance, error):
    """Even the exact denoiser does not give the exact variance at T = 1000, and each choice of variance errs its own way."""
    mean, v = gaussian_recursion(schedule, 0.4, 0.1, variance)
    assert mean == pytest.approx(0.4, abs=1e-3)
    assert v / 0.1**2 - 1 == pytest.approx(error, abs=0.01)


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_oracle_of_one_gaussian_samples_what_the_recursion_predicts(variance):
    schedule, count = NoiseSchedule(linear_betas(200)), 100_000
    oracle = GaussianMixtureDenoiser([0.4], [0.1], [1.0], schedule)
    x_0 = sample(oracle, schedule, (count, 1), seeded(), clip=False, variance=variance, progress=False).double()
    mean, v = gaussian_recursion(schedule, 0.4, 0.1, variance)
    assert abs(x_0.mean() - mean) < 5 * (v / count) ** 0.5
    assert abs(x_0.var() / v - 1) < 5 * (2 / count) ** 0.5


def mixture_recursion(oracle, schedule, grid):
    """The exact density of x_1 on a grid, pushed through steps T .. 2 of Algorithm 2, and where step 1 takes each point."""
    density = torch.exp(-(grid**2) / 2)
    density /= density.sum()
    for t in range(schedule.T, 0, -1):
        x_t = grid[:, None]
        x_0 = schedule.predict_x_0(x_t, t, oracle(x_t, t))
        mean, variance = schedule.posterior(x_0, x_t, t)
        if t == 1:
            return density, mean[:, 0]
        kernel = torch.exp(-((grid[None, :] - mean) ** 2) / (2 * variance))  # (from, to)
        density = density @ (kernel / kernel.sum(1, keepdim=True))


def test_oracle_of_a_mixture_samples_what_the_recursion_predicts():
    """Weights, means and variances of both components, within five standard errors of the exact finite-T answer."""
    schedule, count = NoiseSchedule(linear_betas(100)), 40_000
    oracle = GaussianMixtureDenoiser([-0.5, 0.6], [0.1, 0.15], [0.3, 0.7], schedule)
    density, end = mixture_recursion(oracle, schedule, torch.linspace(-5, 5, 1601, dtype=torch.float64))
    x_0 = sample(oracle, schedule, (count, 1), seeded(), clip=False, progress=False)[:, 0].double()
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
        ours = reverse_step(lambda x, t, noise=noise: noise, x_t, t, schedule, seeded(3), clip=clip, variance=variance)
        expected = peer.step(noise, t - 1, x_t, generator=seeded(3)).prev_sample
        assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_last_step_adds_no_noise(schedule, garments):
    x_1 = schedule.add_noise(garments, 1, torch.randn(garments.shape, generator=seeded()))
    for variance in ("beta_tilde", "beta"):
        one, two = (
            reverse_step(lambda x, t: torch.zeros_like(x), x_1, 1, schedule, seeded(s), variance=variance)
            for s in (1, 2)
        )
        assert torch.equal(one, two)


def test_the_true_noise_leads_back_to_the_picture(schedule, garments):
    def oracle(x_t, t):
        return schedule.predict_noise(x_t, t, garments)

    assert torch.allclose(
        sample(oracle, schedule, tuple(garments.shape), seeded(), progress=False), garments, atol=1e-5
    )


def test_clip_keeps_the_picture_in_range(garments):
    schedule = NoiseSchedule(linear_betas(20))

    def wild(x_t, t):
        return -3 * x_t

    assert sample(wild, schedule, (4, 1, 8, 8), seeded(), progress=False).abs().max() <= 1
    assert sample(wild, schedule, (4, 1, 8, 8), seeded(), clip=False, progress=False).abs().max() > 1


def test_same_seed_same_picture():
    torch.manual_seed(0)
    model, schedule = UNet(base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(linear_betas(10))
    torch.nn.init.normal_(model.head[-1].weight, std=0.1)
    one, two, other = (sample(model, schedule, (2, 1, 8, 8), seeded(s), progress=False) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_trajectory_runs_from_x_T_to_the_sample():
    model, schedule = (lambda x_t, t: 0.5 * x_t), NoiseSchedule(linear_betas(100))
    frames = sample_trajectory(model, schedule, (3, 2), seeded(4), progress=False, frames=11)
    assert frames.shape == (11, 3, 2)
    assert torch.equal(frames[0], torch.randn(3, 2, generator=seeded(4)))
    assert torch.equal(frames[-1], sample(model, schedule, (3, 2), seeded(4), progress=False))
    assert trajectory_times(100, 11) == list(range(100, -1, -10))
    assert sample_trajectory(model, schedule, (3, 2), frames=101, progress=False).shape == (101, 3, 2)


def test_process_holds_one_state_at_a_time():
    schedule = NoiseSchedule(linear_betas(30))
    steps = reverse_process(lambda x_t, t: x_t, schedule, (1, 2), seeded(), progress=False)
    assert [t for t, _ in steps] == list(range(30, -1, -1))


def test_dropout_is_off_while_sampling_and_the_mode_comes_back():
    class Watch(torch.nn.Module):
        def forward(self, x_t, t):
            assert not self.training
            return x_t

    model = Watch().train()
    sample(model, NoiseSchedule(linear_betas(5)), (1, 2), progress=False)
    assert model.training


def test_each_image_can_be_at_its_own_time(schedule, garments):
    x_t, t = garments[:3], torch.tensor([1, 500, 1000])

    def model(x, t):
        return 0.1 * x

    together = reverse_step(model, x_t, t, schedule, seeded())
    assert together.shape == x_t.shape
    assert torch.allclose(together[:1], reverse_step(model, x_t[:1], 1, schedule))


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
    with pytest.raises(TypeError, match="^t must be an int"):
        reverse_step(model, garments, 0.5, schedule)
    with pytest.raises(TypeError, match="^x_t must be a float tensor"):
        reverse_step(model, garments.to(torch.uint8), 1, schedule)
