"""The loss, and the exact denoiser that says how low it can go."""

import warnings

import pytest
import torch
from conftest import seeded

from ddpm_lib.loss import GaussianMixtureDenoiser, check_training_images, noise_prediction_loss


def test_a_perfect_guess_has_loss_zero(schedule, garments):
    noise = torch.randn(garments.shape, generator=seeded())
    assert noise_prediction_loss(lambda x_t, t: noise, garments, schedule, noise=noise) == 0


def test_guessing_zero_costs_the_variance_of_the_noise(schedule, garments):
    loss = noise_prediction_loss(lambda x_t, t: torch.zeros_like(x_t), garments, schedule, generator=seeded())
    assert loss.item() == pytest.approx(1, abs=5 * (2 / garments.numel()) ** 0.5)


def test_model_sees_x_t_and_the_time_of_each_image(schedule, garments):
    t, noise = torch.randint(1, 1001, (64,), generator=seeded()), torch.randn(garments.shape, generator=seeded(1))

    def model(x_t, times):
        assert torch.equal(times, t) and torch.equal(x_t, schedule.add_noise(garments, t, noise))
        return noise

    noise_prediction_loss(model, garments, schedule, t=t, noise=noise)


def test_drawn_times_cover_1_to_T_evenly(schedule):
    seen = []

    def model(x_t, t):
        seen.append(t)
        return x_t

    noise_prediction_loss(model, torch.zeros(200_000, 1), schedule, generator=seeded())
    counts = torch.bincount(seen[0], minlength=1001).double()
    assert counts[0] == 0 and len(counts) == 1001
    assert ((counts[1:] - 200) ** 2 / 200).sum() < 1000 + 5 * (2 * 1000) ** 0.5  # chi-squared


def test_same_seed_same_loss(schedule, garments):
    def model(x_t, t):
        return x_t

    one, two = (noise_prediction_loss(model, garments, schedule, generator=seeded(5)) for _ in range(2))
    assert one == two


MIXTURE = dict(means=[[-0.6, 0.2], [0.5, -0.4]], stds=[0.1, 0.3], weights=[0.3, 0.7])


@pytest.mark.parametrize("t", [1, 50, 400, 1000])
def test_oracle_is_the_mean_of_the_noise(schedule, t):
    """E[noise | x_t] by brute force: a fine grid over x_0 in one dimension."""
    means, stds, weights = torch.tensor([-0.5, 0.6]), torch.tensor([0.1, 0.2]), torch.tensor([0.25, 0.75])
    oracle = GaussianMixtureDenoiser(means, stds, weights, schedule)
    x_t = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)[:, None]
    x_0 = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    prior = sum(w * torch.exp(-((x_0 - m) ** 2) / (2 * s**2)) / s for m, s, w in zip(means, stds, weights, strict=True))
    now = schedule.alpha_bars[t]
    noise = (x_t - now.sqrt() * x_0) / (1 - now).sqrt()  # (7, grid)
    weight = torch.softmax(prior.log() - noise**2 / 2, dim=1)
    assert torch.allclose(oracle(x_t, t), (weight * noise).sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_nothing_beats_the_oracle(schedule):
    """Its loss is the floor: any change to its answer costs at least the square of the change, on average."""
    oracle = GaussianMixtureDenoiser(**MIXTURE, schedule=schedule)
    pick = torch.multinomial(torch.tensor(MIXTURE["weights"]), 50_000, replacement=True, generator=seeded())
    x_0 = torch.tensor(MIXTURE["means"])[pick] + torch.tensor(MIXTURE["stds"])[pick, None] * torch.randn(
        50_000, 2, generator=seeded(1)
    )
    best = noise_prediction_loss(oracle, x_0, schedule, generator=seeded(2))
    for change in (lambda e: 0.9 * e, lambda e: 1.1 * e, lambda e: e + 0.1):
        worse = noise_prediction_loss(
            lambda x_t, t, change=change: change(oracle(x_t, t)), x_0, schedule, generator=seeded(2)
        )
        assert worse > best


def test_oracle_takes_each_points_own_time(schedule):
    oracle = GaussianMixtureDenoiser(**MIXTURE, schedule=schedule)
    x_t, t = torch.randn(3, 2, generator=seeded()), torch.tensor([1, 500, 1000])
    alone = torch.cat([oracle(x_t[i : i + 1], int(t[i])) for i in range(3)])
    assert torch.allclose(oracle(x_t, t), alone) and oracle(x_t, t).dtype == x_t.dtype


@pytest.mark.parametrize("change, word", [
    ({"stds": [0.1]}, "means, stds and weights"), ({"stds": [0.1, 0.0]}, "stds"), ({"weights": [1.0, -1.0]}, "weights"),
])  # fmt: skip
def test_bad_mixtures_are_refused(schedule, change, word):
    with pytest.raises(ValueError, match=word):
        GaussianMixtureDenoiser(**MIXTURE | change, schedule=schedule)


def test_data_is_checked_once_before_training(garments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_training_images(garments)
        check_training_images(3 * torch.randn(50, 2, generator=seeded()))  # points may lie anywhere
    for spoilt in (garments.where(garments < 0, torch.nan), garments * torch.inf):
        with pytest.raises(ValueError, match="^images must be finite"):
            check_training_images(spoilt)
    for unmapped in ((garments + 1) * 127.5, garments * 1.5):
        with pytest.warns(UserWarning, match=r"^images lie in .* not in \[-1, 1\].*clip=False"):
            check_training_images(unmapped)


def test_standardised_data_can_be_trained_on(schedule, garments):
    """The loss leaves the values of x_0 to check_training_images."""
    noise = torch.randn(garments.shape, generator=seeded())
    assert noise_prediction_loss(lambda x_t, t: noise, 4 * garments, schedule, noise=noise) == 0


def test_other_bad_input_is_refused(schedule, garments):
    def loss(x_0, **rest):
        return noise_prediction_loss(lambda x_t, t: x_t, x_0, schedule, **rest)

    with pytest.raises(TypeError, match="^x_0 must be a float tensor, got torch.uint8"):
        loss(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(ValueError, match="^x_0 must hold a batch"):
        loss(garments[:0])
    with pytest.raises(ValueError, match=r"^t must lie in 1\.\.1000"):
        loss(garments, t=0)
    with pytest.raises(TypeError, match="^t must be an int"):
        loss(garments, t=torch.rand(64))
    with pytest.raises(ValueError, match="^noise must have the shape of x_0"):
        loss(garments, noise=torch.zeros(64, 1, 28, 27))
    for t in (1001, torch.full((64,), 1001), torch.ones(63, dtype=torch.int64)):
        with pytest.raises(ValueError, match="^t must"):
            loss(garments, t=t)
