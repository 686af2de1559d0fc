"""Fashion-MNIST's own ruler: a small classifier, the floor of real pictures, copies, and one report of it all."""

import hashlib
import json

import pytest
import torch
from conftest import CLONE, ROOT, seeded

from ddpm_lib import evaluation
from ddpm_lib.checkpoint import read_safetensors, write_safetensors
from ddpm_lib.data import load_images
from ddpm_lib.evaluation import (
    CLASSIFIER_TRAINING,
    Classifier,
    class_shares,
    evaluate,
    image_features,
    load_classifier,
    nearest_training_images,
    real_features,
    real_pictures,
)
from ddpm_lib.metrics import frechet_distance, frechet_floor


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


# the ruler, tested


def test_real_pictures_score_the_floor_and_it_falls_with_n():
    floors = [frechet_floor(n, *real_features()) for n in (200, 1000, 5000)]
    assert floors[0] > 3 * floors[1] and floors[1] > 2 * floors[2] > 0


def test_ruler_sees_damage_and_not_copies(unseen):
    reference, real = real_features()
    floor = frechet_floor(1000, reference, real)

    def ratio(pictures):
        return frechet_distance(image_features(pictures), reference) / floor

    noise = torch.randn(unseen.shape, generator=seeded())
    slight, strong = ratio((unseen + 0.1 * noise).clamp(-1, 1)), ratio((unseen + 0.3 * noise).clamp(-1, 1))
    assert ratio(unseen) < 1.3 and 1.5 < slight < strong / 3
    assert ratio(unseen.flip(-1)) > 5  # the classifier has not learnt to ignore it
    assert ratio(unseen[:20].repeat(50, 1, 1, 1)) > 5
    assert ratio(load_images(limit=1000)[0]) < 1.3  # copies of training pictures


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


def test_evaluate_takes_other_features_and_keeps_nothing_of_them(unseen):
    """Weights that change get a floor of their own."""
    network = torch.nn.Sequential(torch.nn.AvgPool2d(7), torch.nn.Flatten(), torch.nn.Linear(16, 3)).requires_grad_(
        False
    )
    before = evaluate(unseen[:50], network)
    reference, real = (network(pictures) for pictures in real_pictures())
    assert before["frechet"] == pytest.approx(frechet_distance(network(unseen[:50]), reference), rel=1e-4)
    assert before["floor"] == pytest.approx(frechet_floor(50, reference, real), rel=1e-4)
    assert sum(before["class_shares"]) == pytest.approx(1) and before["nearest"] == 0
    network[-1].weight *= 2
    after = evaluate(unseen[:50], network)
    for figure in ("frechet", "floor"):
        assert after[figure] == pytest.approx(4 * before[figure], rel=1e-4)


def corners(images):
    """Features of images of any size: sixteen pixels."""
    return images[:, 0, :4, :4].flatten(1)


def test_evaluate_measures_colour_and_other_sizes_against_a_reference_of_their_own():
    colour = torch.rand(120, 3, 12, 16, generator=seeded()) * 2 - 1
    report = evaluate(colour[:30], corners, reference=colour[30:].chunk(2))
    assert report["n"] == 30 and report["ratio"] == pytest.approx(1, abs=0.5)
    assert "nearest" not in report and "class_shares" not in report, "these are about garments"


def test_samples_may_have_any_float_dtype_and_are_prepared_once(unseen, monkeypatch):
    for dtype in (torch.bfloat16, torch.half, torch.double):
        samples = unseen[:5].to(dtype)
        assert torch.equal(image_features(samples), image_features(samples.float()))
    prepared, as_pictures = [], evaluation.as_pictures
    monkeypatch.setattr(evaluation, "as_pictures", lambda *given: prepared.append(len(given[1])) or as_pictures(*given))
    assert evaluate(unseen[:600].bfloat16())["n"] == 600 and prepared.count(600) == 1


def test_class_shares_of_one_class():
    images, labels = load_images(split="test")
    shares = class_shares(image_features(images[labels == 9][:200]))
    assert max(shares) == shares[9] > 0.9


# what the notebook cites


def test_committed_results_were_made_with_the_shipped_checkpoint():
    """After a new checkpoint: every subcommand of `python -m benchmarks.09_evaluation` but `rulers`, and all of benchmarks/08."""
    digest = hashlib.sha256((ROOT / "data" / "fashion-mnist.safetensors").read_bytes()).hexdigest()[:16]
    results = CLONE / "benchmarks" / "results" / "09_evaluation.json"
    kept, notes = read_safetensors(results.with_suffix(".safetensors"), "samples")
    assert json.loads(notes["checkpoint"]) == digest and kept["pixels"].dtype == torch.uint8
    sections = json.loads(results.read_text())
    assert sections["bits"]["checkpoint"] == sections["attention"]["checkpoint"] == digest
    assert {r["seed"] for r in sections["headline"] if r["checkpoint"] == digest and r["n"] == 10_000} >= {0, 1, 2}
    records = [record for record in sections["quality"] if record["checkpoint"] == digest]
    assert any(r["n"] == len(kept["pixels"]) and r["sampler"] == json.loads(notes["sampler"]) for r in records)
    curve = json.loads(results.with_stem("08_fast_sampling").read_text())
    assert curve["checkpoint"] == digest and curve["records"] and curve["challenge"]["records"]


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


def test_a_bad_reference_is_refused(unseen):
    with pytest.raises(TypeError, match="^reference must be None or a pair of sets of real images, got Tensor"):
        evaluate(unseen[:20], reference=unseen)
    with pytest.raises(ValueError, match=r"^samples must have shape \(N, 1, 14, 14\)"):
        evaluate(unseen[:20], corners, reference=unseen[..., ::2, ::2].chunk(2))
    with pytest.raises(ValueError, match="^samples must be 10 to 15 images, got 20"):
        evaluate(unseen[:20], corners, reference=(unseen[:100], unseen[100:115]))
    with pytest.raises(ValueError, match="^reference must be finite"):
        evaluate(unseen[:20], corners, reference=(unseen[:100], unseen[:100] + torch.nan))
