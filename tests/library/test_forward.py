"""One noise step and the chain of them."""

import pytest
import torch
from conftest import seeded

from ddpm_lib.forward import noise_chain, noise_like, noise_step
from ddpm_lib.schedule import NoiseSchedule, linear_betas


def test_one_step_has_the_mean_and_variance_of_eq_2():
    x, beta = torch.full((200_000, 1), 0.7), 0.3
    drawn = noise_step(x, beta, seeded())
    error = (beta / len(x)) ** 0.5  # standard error of the mean
    assert abs(drawn.mean() - (1 - beta) ** 0.5 * 0.7) < 5 * error
    assert abs(drawn.var() / beta - 1) < 5 * (2 / len(x)) ** 0.5


def test_unit_variance_data_keeps_its_variance():
    """Why the step scales by sqrt(1 - beta): variance 1 stays 1."""
    chain = noise_chain(torch.randn(50_000, 1, generator=seeded(1)), torch.full((50,), 0.1), seeded(2))
    assert ((chain.var(dim=(1, 2)) - 1).abs() < 5 * (2 / 50_000) ** 0.5).all()


def test_chain_moments_equal_the_closed_form():
    """Ten thousand chains, step by step, against sqrt(alpha_bar_t) x_0 and 1 - alpha_bar_t (Eq. 4)."""
    betas, count = linear_betas(50), 10_000
    schedule = NoiseSchedule(betas)
    chain = noise_chain(torch.full((count, 1), -0.8, dtype=torch.float64), betas, seeded())[:, :, 0]  # (T + 1, N)
    signal, variance = schedule.alpha_bars.sqrt(), 1 - schedule.alpha_bars
    assert (chain[0] == -0.8).all()
    assert ((chain.mean(1) + 0.8 * signal).abs() <= 5 * (variance / count).sqrt() + 1e-9).all()
    assert ((chain.var(1) - variance).abs() <= 5 * variance * (2 / count) ** 0.5 + 1e-9).all()


def test_chain_starts_at_the_picture_and_has_every_step(garments):
    chain = noise_chain(garments[:3], linear_betas(20))
    assert chain.shape == (21, 3, 1, 28, 28)
    assert torch.equal(chain[0], garments[:3])


def test_same_seed_same_chain(garments):
    one, two = (noise_chain(garments[:2], linear_betas(5), seeded(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, noise_chain(garments[:2], linear_betas(5), seeded(4)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_seed_gives_one_noise_in_every_dtype(dtype):
    noise = noise_like(torch.zeros(3, 5), seeded())
    assert torch.equal(noise_like(torch.zeros(3, 5, dtype=dtype), seeded()), noise.to(dtype))


@pytest.mark.parametrize("beta", [0, 1, -0.1, 1.5, float("nan")])
def test_beta_outside_0_1_is_refused(beta):
    with pytest.raises(ValueError, match=r"^beta must lie in \(0, 1\)"):
        noise_step(torch.zeros(2, 1), beta)


def test_bad_tensors_are_refused():
    with pytest.raises(TypeError, match="^x must be a float tensor, got torch.uint8"):
        noise_step(torch.zeros(2, 1, dtype=torch.uint8), 0.1)
    with pytest.raises(ValueError, match="^x_0 must hold a batch of at least one"):
        noise_chain(torch.zeros(0, 1), [0.1])
    with pytest.raises(ValueError, match=r"^betas must have shape \(T,\)"):
        noise_chain(torch.zeros(2, 1), [[0.1]])
    for betas in (None, "b", ["b"]):
        with pytest.raises(TypeError, match=r"^betas must be numbers of shape \(T,\), got"):
            noise_chain(torch.zeros(2, 1), betas)
