"""The rulers: distances that are right where the answer is known, and a bound in bits that meets its formula."""

import math

import numpy as np
import pytest
import torch
from conftest import seeded

from ddpm_lib.loss import GaussianMixtureDenoiser
from ddpm_lib.metrics import (
    bits_per_dim,
    compare_features,
    frechet_distance,
    frechet_floor,
    kernel_distance,
    log_bin_probability,
    precision_recall,
    time_strata,
)
from ddpm_lib.schedule import NoiseSchedule, linear_betas


def gaussian(n, d, seed, mean=0.0, std=1.0):
    return mean + std * torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


# the Fréchet distance


def test_frechet_distance_in_one_dimension_is_that_of_the_best_transport():
    a, b = gaussian(20_000, 1, 0, 1.0, 0.5), gaussian(20_000, 1, 1, -1.0, 2.0)
    by_sorting = (a.sort(0).values - b.sort(0).values).square().mean().item()
    assert frechet_distance(a, b) == pytest.approx(by_sorting, rel=0.01)
    exact = (a.mean() - b.mean()).item() ** 2 + (a.std() - b.std()).item() ** 2
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-9)


def test_frechet_distance_agrees_with_the_square_root_of_the_product():
    """tr (S_a S_b)^(1/2) from the eigenvalues of the product itself."""
    a = gaussian(400, 6, 0) @ gaussian(6, 6, 1)
    b = gaussian(300, 6, 2) @ gaussian(6, 6, 3) + 1
    s_a, s_b = a.T.cov(), b.T.cov()
    trace = torch.linalg.eigvals(s_a @ s_b).real.clamp(min=0).sqrt().sum()
    expected = (a.mean(0) - b.mean(0)).square().sum() + s_a.trace() + s_b.trace() - 2 * trace
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_frechet_distance_to_itself_is_zero_and_it_is_symmetric(n):
    a, b = gaussian(n, 64, 0, std=10), gaussian(50, 64, 1)
    assert frechet_distance(a, a) < 1e-8 and frechet_distance(a, a.flip(0)) < 1e-8
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_frechet_distance_of_a_shift_and_of_a_turn():
    a = gaussian(500, 16, 0) @ gaussian(16, 16, 1)
    step = gaussian(1, 16, 2)
    assert frechet_distance(a, a + step) == pytest.approx(step.square().sum().item(), rel=1e-6)
    turn, _ = torch.linalg.qr(gaussian(16, 16, 3))
    b = gaussian(400, 16, 4)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-9)


class OnMPS(torch.Tensor):
    """A tensor that refuses float64 as long as it is on its device, as Apple's GPUs do."""

    def double(self):
        raise TypeError("MPS has no float64")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_features_of_every_dtype_and_device_are_compared_in_float64_on_the_cpu():
    a, b = gaussian(50, 4, 0).half(), gaussian(40, 4, 1, 1.0).half()
    for distance in (frechet_distance, kernel_distance, precision_recall):
        assert (
            distance(a, b) == distance(a.double(), b.double()) == distance(a.as_subclass(OnMPS), b.as_subclass(OnMPS))
        )


# the floor


def test_the_floor_is_the_mean_over_disjoint_draws():
    reference, unseen = gaussian(300, 3, 0), gaussian(50, 3, 1)
    draws = [frechet_distance(unseen[k : k + 20], reference) for k in (0, 20)]
    assert frechet_floor(np.int64(20), reference, unseen) == pytest.approx(sum(draws) / 2)


def test_samples_of_the_true_law_score_the_floor_and_others_more():
    reference, unseen = gaussian(1000, 3, 0), gaussian(1000, 3, 1)
    same = compare_features(gaussian(500, 3, 2), reference, unseen)
    shifted = compare_features(gaussian(500, 3, 2) + 1, reference, unseen)
    assert 0.3 < same["ratio"] < 3 < shifted["ratio"] and same["n"] == 500
    assert shifted["kernel_distance"] > 10 * abs(shifted["kernel_distance_real"])
    assert shifted["precision"] < shifted["precision_real"] and shifted["recall"] < shifted["recall_real"]


@pytest.mark.parametrize("n", [0, 1, 101])
def test_a_floor_of_too_few_or_too_many_is_refused(n):
    with pytest.raises(ValueError, match=f"^n must lie in 2..100, got {n}"):
        frechet_floor(n, gaussian(100, 3, 0), gaussian(100, 3, 1))


# the kernel distance


def test_kernel_distance_is_the_mean_over_pairs():
    a, b = gaussian(7, 3, 0), gaussian(5, 3, 1)

    def k(x, y):
        return ((x @ y) / 3 + 1) ** 3

    aa = torch.stack([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j]).mean()
    bb = torch.stack([k(b[i], b[j]) for i in range(5) for j in range(5) if i != j]).mean()
    ab = torch.stack([k(x, y) for x in a for y in b]).mean()
    assert kernel_distance(a, b) == pytest.approx((aa + bb - 2 * ab).item(), rel=1e-9)


def test_kernel_distance_has_no_bias_at_small_n():
    """The mean over many small sets of the same law is 0 within its error; the Fréchet distance's is not."""
    reference = gaussian(400, 8, 99)
    scores = torch.tensor([kernel_distance(gaussian(10, 8, k), reference) for k in range(200)])
    assert scores.mean().abs() < 4 * scores.std() / 200**0.5 and (scores < 0).any()
    assert min(frechet_distance(gaussian(10, 8, k), reference) for k in range(20)) > 0.5


# precision and recall


def test_precision_and_recall_of_known_sets():
    real = torch.arange(10.0)[:, None] * torch.tensor([[1.0, 0.0]])
    assert precision_recall(real, real) == (1.0, 1.0)
    assert precision_recall(real + 1000, real) == (0.0, 0.0)
    half = torch.cat([real[:5], real[:5] + 1000])
    precision, recall = precision_recall(half, real, k=np.int64(1))
    assert (precision, recall) == pytest.approx((0.5, 0.6))  # the balls of 0..4 reach to 5


def test_precision_falls_with_poor_samples_and_recall_with_missing_ones():
    real = torch.cat([gaussian(300, 4, 0, -3), gaussian(300, 4, 1, 3)])
    one_side, spread = gaussian(600, 4, 2, -3), torch.cat([gaussian(300, 4, 3, -3, 3), gaussian(300, 4, 4, 3, 3)])
    assert precision_recall(one_side, real)[0] > 0.8 and precision_recall(one_side, real)[1] < 0.55
    assert precision_recall(spread, real)[0] < 0.3 and precision_recall(spread, real)[1] > 0.8


# the bound in bits


def test_bins_of_the_decoder_sum_to_one():
    levels = torch.arange(256, dtype=torch.float64) * 2 / 255 - 1
    for mean in (-1.5, -0.3, 0.99):
        for spread in (1e-3, 0.02, 2.0):
            log_p = log_bin_probability(levels, torch.tensor(mean).double(), torch.tensor(spread).double())
            assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12) and torch.isfinite(log_p).all()


def test_bins_agree_with_the_normal_distribution_and_stay_exact_far_out():
    x = torch.tensor([51 * 2 / 255 - 1], dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor(-0.7).double(), torch.tensor(0.1).double())
    area = normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)
    assert log_bin_probability(x, normal.mean, normal.stddev).item() == pytest.approx(area.log().item(), abs=1e-12)
    far = log_bin_probability(x, torch.tensor(0.9).double(), torch.tensor(0.01).double()).item()
    edge = (x.item() + 1 / 255 - 0.9) / 0.01  # Mills: log Phi(-z) is about -z^2/2 - log(z sqrt(2 pi))
    assert far == pytest.approx(-(edge**2) / 2 - math.log(-edge * math.sqrt(2 * math.pi)), rel=1e-4)
    mirrored = log_bin_probability(-x, torch.tensor(-0.9).double(), torch.tensor(0.01).double()).item()
    assert mirrored == pytest.approx(far, rel=1e-12)


@pytest.mark.parametrize("T", [2, 3, 10, 1000])
def test_strata_cover_every_time_once(T):
    for count in {1, 2, T // 2, T - 1} & set(range(1, T)):
        edges = time_strata(T, count)
        assert len(edges) == count + 1 and edges[0] == 2 and edges[-1] == T + 1
        assert all(high > low for low, high in zip(edges, edges[1:], strict=False))


STD = 0.25


@pytest.fixture(scope="module")
def known():
    """Gaussian data, rounded to the levels, with its exact oracle: schedule, oracle, data."""
    schedule = NoiseSchedule(linear_betas(100))
    data = gaussian(2500, 4, 0, std=STD).float().clamp(-1, 1)
    return (
        schedule,
        GaussianMixtureDenoiser([[0.0] * 4], [STD], [1.0], schedule),
        ((data + 1) * 127.5).round() / 127.5 - 1,
    )


def exact_terms(schedule, variance):
    """L_{t-1}, t = 2..T, in bits per dimension."""
    t = torch.arange(2, schedule.T + 1)
    beta, now, before = schedule.betas[t], schedule.alpha_bars[t], schedule.alpha_bars[t - 1]
    beta_tilde, unknown = (1 - before) / (1 - now) * beta, 1 / (1 / STD**2 + now / (1 - now))
    own = {"beta_tilde": beta_tilde, "beta": beta}[variance]
    ratio = beta_tilde / own
    weight = before.sqrt() * beta / (1 - now)
    return (weight**2 * unknown / own + ratio - 1 - ratio.log()) / 2 / math.log(2)


def test_the_bound_is_added_up_in_float64_on_the_cpu(known):
    schedule, oracle, data = known

    def bits(images):
        return bits_per_dim(oracle, schedule, images, times=3, generator=seeded(), progress=False)["bits"]

    assert bits(data[:5].as_subclass(OnMPS)) == bits(data[:5])


@pytest.mark.parametrize("variance", ["beta_tilde", "beta"])
def test_every_term_of_the_bound_meets_its_closed_form(known, variance):
    schedule, oracle, data = known
    bits = bits_per_dim(oracle, schedule, data, variance, clip=False, generator=seeded(1), progress=False)
    error = (bits["terms"][2:] / exact_terms(schedule, variance) - 1).abs()
    assert error.max() < 5 * (2 / data.numel()) ** 0.5 and error.mean() < 0.02  # a mean of squares of Gaussians
    assert bits["bits"] == pytest.approx(bits["prior"] + bits["terms"].sum().item(), abs=1e-9)
    assert bits["decoder"] == bits["terms"][1] and bits["terms"][0] == 0
    assert bits["bits"] == pytest.approx(bits["per_image"].mean().item())


def test_bound_lies_just_above_the_entropy(known):
    schedule, oracle, data = known
    entropy = math.log2(STD * math.sqrt(2 * math.pi * math.e) / (2 / 255))
    bits = bits_per_dim(oracle, schedule, data, "beta", clip=False, generator=seeded(2), progress=False)
    assert entropy - 4 * bits["standard_error"] < bits["bits"] < entropy + 0.15
    tight = bits_per_dim(oracle, schedule, data, "beta_tilde", clip=False, generator=seeded(2), progress=False)
    gap = (exact_terms(schedule, "beta_tilde") - exact_terms(schedule, "beta")).sum().item()
    assert tight["bits"] - bits["bits"] == pytest.approx(gap, rel=0.06)


def test_prior_term_is_the_divergence_at_T(known):
    schedule, oracle, data = known
    bits = bits_per_dim(oracle, schedule, data[:50], clip=False, times=1, generator=seeded(), progress=False)
    end = schedule.alpha_bars[-1]
    expected = (end * data[:50].double().square() - end - (1 - end).log()).mean() / 2 / math.log(2)
    assert bits["prior"] == pytest.approx(expected.item(), rel=1e-6)


def test_some_of_the_times_estimate_all_of_them(known):
    schedule, oracle, data = known
    every = bits_per_dim(oracle, schedule, data, clip=False, generator=seeded(3), progress=False)
    for times in (5, np.int64(30)):
        some = bits_per_dim(oracle, schedule, data, clip=False, times=times, generator=seeded(4), progress=False)
        error = (some["standard_error"] ** 2 + every["standard_error"] ** 2) ** 0.5
        assert abs(some["bits"] - every["bits"]) < 4 * error
        assert some["bits"] == pytest.approx(some["prior"] + some["terms"].sum().item(), abs=1e-9)


def test_any_mistake_of_the_model_costs_bits(known):
    schedule, oracle, data = known

    def bits(model):
        return bits_per_dim(model, schedule, data, clip=False, times=30, generator=seeded(5), progress=False)["bits"]

    assert bits(oracle) < bits(lambda x_t, t: 0.95 * oracle(x_t, t))
    assert bits(oracle) < bits(lambda x_t, t: oracle(x_t, (t + 2).clamp(max=schedule.T)))


def test_bits_of_pictures_repeat_with_the_seed_and_leave_the_model_as_it_was(garments, schedule):
    model = torch.nn.Dropout(0.5)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.part = model

        def forward(self, x_t, t):
            return self.part(x_t)

    net = Model().train()
    one, two = (
        bits_per_dim(net, schedule, garments[:4], times=5, generator=seeded(), progress=False) for _ in range(2)
    )
    assert (
        one["bits"] == two["bits"] and one["per_image"].shape == (4,) and one["terms"].shape == (1001,) and net.training
    )
    alone = bits_per_dim(net, schedule, garments[:1], times=1, generator=seeded(), progress=False)
    assert math.isnan(alone["standard_error"]) and math.isfinite(alone["bits"])


# bad input


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_features_are_refused(distance):
    good = gaussian(5, 3, 0)
    for bad, message in (
        (good[:1], "N > 1"),
        (good[:, :2], "as many columns"),
        (good[0], "shape"),
        (good / 0, "finite"),
    ):
        with pytest.raises(ValueError, match=f"^features_b must .*{message}"):
            distance(good, bad)
    with pytest.raises(TypeError, match="^features_a must be a float tensor"):
        distance(good.int(), good)
    with pytest.raises(ValueError, match="^k must lie in 1..4"):
        precision_recall(good, good, k=5)


def test_bad_arguments_of_the_bound_are_refused(garments, schedule):
    def bits(images=garments[:2], **rest):
        return bits_per_dim(lambda x_t, t: x_t, schedule, images, progress=False, **rest)

    with pytest.raises(ValueError, match="^variance must be 'beta_tilde' or 'beta', got 'learned'"):
        bits(variance="learned")
    for images in (garments[:2] * 0.9, garments[:2] + 2, garments[:2].where(garments[:2] < 0, torch.nan)):
        with pytest.raises(ValueError, match="^images must .* 256 grey levels"):
            bits(images)
    with pytest.raises(TypeError, match="^images must be a float tensor"):
        bits(garments[:2].int())
    for times in (0, 1000):
        with pytest.raises(ValueError, match=r"^times must lie in 1\.\.999"):
            bits(times=times)
    with pytest.raises(TypeError, match="^times must be an integer"):
        bits(times=2.5)
