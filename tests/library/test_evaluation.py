"""The rulers: distances that are right where the answer is known, and a bound in bits that meets its formula."""

import hashlib
import json
import math

import pytest
import torch
from conftest import CLONE, ROOT, seeded

from ddpm_lib.data import load_images
from ddpm_lib.evaluation import (
    CLASSIFIER_TRAINING,
    Classifier,
    bits_per_dim,
    class_shares,
    evaluate,
    frechet_distance,
    frechet_floor,
    image_features,
    kernel_distance,
    load_classifier,
    log_bin_probability,
    nearest_training_images,
    precision_recall,
    real_features,
    time_strata,
)
from ddpm_lib.loss import GaussianMixtureDenoiser
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import read_safetensors, write_safetensors


def gaussian(n, d, seed, mean=0.0, std=1.0):
    return mean + std * torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def unseen():
    """1,000 training pictures that the classifier did not learn from."""
    return load_images()[0][CLASSIFIER_TRAINING : CLASSIFIER_TRAINING + 1000]


# the classifier and its features


def test_shipped_classifier_is_small_and_names_92_percent_of_the_test_pictures():
    classifier, (images, labels) = load_classifier(), load_images(split="test")
    assert not classifier.training and sum(p.numel() for p in classifier.parameters()) <= 500_000
    with torch.no_grad():
        scores = torch.cat([classifier(batch) for batch in images.split(500)])
    assert (scores.argmax(1) == labels).double().mean() >= 0.92


def test_features_are_those_of_the_picture_in_a_file(unseen):
    """Rounding to bytes changes nothing, and neither does a value a little outside [-1, 1]."""
    pixels = ((unseen[:20].clamp(-1, 1) + 1) * 127.5).round()
    assert torch.equal(image_features(unseen[:20]), image_features(pixels / 127.5 - 1))
    outside = unseen[:20] + 0.3 * (unseen[:20] == unseen[:20].max()) + 0.001
    assert torch.equal(image_features(outside), image_features(outside.clamp(-1, 1)))
    assert image_features(unseen[:20]).shape == (20, 128)


def test_features_do_not_depend_on_the_company_or_on_training_mode(unseen):
    classifier = load_classifier().train()
    together = image_features(unseen[:30], classifier)
    assert torch.allclose(together[:3], image_features(unseen[:3]), atol=1e-5)
    assert classifier.training  # left as it was


def test_a_file_that_is_no_classifier_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FileNotFoundError, match="^path"):
        load_classifier(path)
    write_safetensors(path, {"x": torch.zeros(1)}, {"kind": "classifier"})
    with pytest.raises(ValueError, match="^path: the weights in .* do not make a Classifier"):
        load_classifier(path)
    write_safetensors(path, Classifier().state_dict(), {"kind": "checkpoint"})
    with pytest.raises(ValueError, match="^path: .* must be a classifier"):
        load_classifier(path)


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


def test_real_pictures_score_the_floor_and_it_falls_with_n():
    floors = [frechet_floor(n) for n in (200, 1000, 5000)]
    assert floors[0] > 3 * floors[1] and floors[1] > 2 * floors[2] > 0


def test_ruler_sees_damage_and_not_copies(unseen):
    reference, _ = real_features(image_features)
    floor = frechet_floor(1000)

    def ratio(pictures):
        return frechet_distance(image_features(pictures), reference) / floor

    noise = torch.randn(unseen.shape, generator=seeded())
    slight, strong = ratio((unseen + 0.1 * noise).clamp(-1, 1)), ratio((unseen + 0.3 * noise).clamp(-1, 1))
    assert ratio(unseen) < 1.3 and 1.5 < slight < strong / 3
    assert ratio(unseen.flip(-1)) > 5  # the classifier has not learnt to ignore it
    assert ratio(unseen[:20].repeat(50, 1, 1, 1)) > 5
    assert ratio(load_images(limit=1000)[0]) < 1.3  # copies of training pictures


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
    precision, recall = precision_recall(half, real, k=1)
    assert (precision, recall) == pytest.approx((0.5, 0.6))  # the balls of 0..4 reach to 5


def test_precision_falls_with_poor_samples_and_recall_with_missing_ones():
    real = torch.cat([gaussian(300, 4, 0, -3), gaussian(300, 4, 1, 3)])
    one_side, spread = gaussian(600, 4, 2, -3), torch.cat([gaussian(300, 4, 3, -3, 3), gaussian(300, 4, 4, 3, 3)])
    assert precision_recall(one_side, real)[0] > 0.8 and precision_recall(one_side, real)[1] < 0.55
    assert precision_recall(spread, real)[0] < 0.3 and precision_recall(spread, real)[1] > 0.8


# the nearest training images


def test_nearest_training_image_of_a_training_image_is_itself(unseen):
    distances, indices = nearest_training_images(unseen[:20])
    assert torch.equal(indices, torch.arange(20) + CLASSIFIER_TRAINING) and distances.max() == 0


def test_nearest_training_image_is_the_nearest():
    images = load_images(split="test", limit=2)[0]
    distances, indices = nearest_training_images(images)
    all_distances = (load_images()[0] - images[0]).square().mean((1, 2, 3)).sqrt()
    assert indices[0] == all_distances.argmin() and distances[0] == pytest.approx(all_distances.min().item(), abs=1e-6)


# evaluate


def test_evaluate_real_pictures(unseen):
    report = evaluate(load_images(split="test")[0][:300])
    assert {"n", "frechet", "floor", "ratio", "kernel_distance", "precision", "recall", "class_shares"} <= set(report)
    assert report["n"] == 300 and report["ratio"] == pytest.approx(report["frechet"] / report["floor"])
    assert sum(report["class_shares"]) == pytest.approx(1) and len(report["class_shares"]) == 10
    assert 0.8 < report["nearest_ratio"] < 1.2
    copies = evaluate(unseen[:300])
    assert (
        copies["nearest_ratio"] == 0 and copies["ratio"] < 1.3
    )  # it memorises, and the Fréchet distance is blind to it
    assert (
        copies["precision"] == copies["precision_real"] and copies["kernel_distance"] == copies["kernel_distance_real"]
    )


def test_evaluate_takes_other_features(unseen):
    def corners(images):
        return images[:, 0, 10:14, 10:14].flatten(1)

    report = evaluate(unseen[:50], features=corners)
    assert report["frechet"] == pytest.approx(
        frechet_distance(corners(unseen[:50]), corners(load_images(split="test")[0]))
    )
    assert report["floor"] == pytest.approx(frechet_floor(50, corners)) and report["floor"] != frechet_floor(50)


def test_class_shares_of_one_class():
    images, labels = load_images(split="test")
    shares = class_shares(images[labels == 9][:200])
    assert max(shares) == shares[9] > 0.9


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
    for times in (5, 30):
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


# what the notebook cites


def test_committed_results_were_made_with_the_shipped_checkpoint():
    """After a new checkpoint: benchmarks/evaluate_pretrained.py --keep and benchmarks/bits_per_dim.py."""
    digest = hashlib.sha256((ROOT / "data" / "fashion-mnist.safetensors").read_bytes()).hexdigest()[:16]
    results = CLONE / "benchmarks" / "results"
    kept, notes = read_safetensors(results / "samples.safetensors", "samples")
    assert json.loads(notes["checkpoint"]) == digest and kept["pixels"].dtype == torch.uint8
    assert json.loads((results / "bits_per_dim.json").read_text())["checkpoint"] == digest
    records = [r for r in json.loads((results / "quality.json").read_text()) if r["checkpoint"] == digest]
    assert any(r["n"] == len(kept["pixels"]) and r["sampler"] == json.loads(notes["sampler"]) for r in records)


# bad input


def test_bad_pictures_are_refused(unseen):
    for name, function in (("images", image_features), ("samples", evaluate), ("images", nearest_training_images)):
        with pytest.raises(TypeError, match=f"^{name} must be a float tensor, got torch.uint8"):
            function(torch.zeros(20, 1, 28, 28, dtype=torch.uint8))
        with pytest.raises(ValueError, match=f"^{name} must have shape"):
            function(torch.zeros(20, 3, 28, 28))
        with pytest.raises(ValueError, match=f"^{name} must lie in"):
            function((unseen[:20] + 1) * 127.5)
        with pytest.raises(ValueError, match=f"^{name} must be finite"):
            function(unseen[:20].where(unseen[:20] < 0, torch.nan))
        with pytest.raises(ValueError, match=f"^{name} must hold a batch"):
            function(unseen[:0])
    with pytest.raises(ValueError, match="^samples must be 10 to 10,000 images, got 9"):
        evaluate(unseen[:9])


@pytest.mark.parametrize("n", [0, 1, 10_001])
def test_a_floor_of_too_few_or_too_many_pictures_is_refused(n):
    with pytest.raises(ValueError, match=f"^n must lie in 2..10,000, got {n}"):
        frechet_floor(n)


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
    for times in (0, 1000, 2.5):
        with pytest.raises(ValueError, match=r"^times must be None or an integer in 1\.\.T - 1 = 999"):
            bits(times=times)
