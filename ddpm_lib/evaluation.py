# Exported from notebooks/09_evaluation.ipynb: edit the notebook, not this file.
"""How good is it? A Fréchet distance, a kernel distance, precision and recall, nearest neighbours and bits per dimension, each tested before it is trusted."""

from functools import lru_cache

import torch
from torch import nn

from ddpm_lib.checkpoint import read_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.forward import check_float
from ddpm_lib.metrics import compare_features, frechet_distance, frechet_floor
from ddpm_lib.sampling import evaluating


class Classifier(nn.Module):
    """A small convolutional network that names garments: images `(N, 1, 28, 28)` in [-1, 1] to scores `(N, 10)`."""

    def __init__(self):
        super().__init__()

        def block(channels_in, channels_out, size=3, stride=1):
            convolution = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False)
            return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]

        self.body = nn.Sequential(
            *block(1, 32, size=5, stride=2), *block(32, 64, stride=2), *block(64, 64), *block(64, 64),  # 28 -> 14 -> 7
            nn.Dropout(0.3), nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.BatchNorm1d(128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 10))

    def features(self, images):
        """The 128 numbers `(N, 128)` from which the last layer reads its scores."""
        return self.body(images)

    def forward(self, images):
        return self.head(self.body(images))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels_in, channels_out, stride=1):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.SiLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out),
        )  # fmt: skip
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x):
        return nn.functional.silu(self.shortcut(x) + self.main(x))


class ResidualClassifier(Classifier):
    """The second ruler's network: residual blocks, and a mean over the places in place of a long list of them. Called like `Classifier`."""

    def __init__(self):
        nn.Module.__init__(self)  # with layers of its own
        self.body = nn.Sequential(
            nn.Conv2d(1, 48, 5, 2, padding=2, bias=False), nn.BatchNorm2d(48), nn.SiLU(),  # 28 -> 14
            ResidualBlock(48, 48), ResidualBlock(48, 96, stride=2), ResidualBlock(96, 96),  # 14 -> 7
            nn.Conv2d(96, 128, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 10))


CLASSIFIER_TRAINING = 50_000  # they learn from the first 50,000 training pictures; the other 10,000 stay unseen
CLASSIFIERS = {kind.__name__: kind for kind in (Classifier, ResidualClassifier)}


def load_classifier(path=None):
    """The classifier that ships in `data/`, or the one in the file `path`: on the CPU, in evaluation mode.

    Errors as in `read_safetensors`, and ValueError where the weights are not those of a network of this module.
    """
    path = data_folder() / "fashion-mnist-classifier.safetensors" if path is None else path
    tensors, about = read_safetensors(path, "classifier")
    name = about.get("network", "Classifier")
    if name not in CLASSIFIERS:
        raise ValueError(f"path: {path} holds a {name}, expected {' or '.join(CLASSIFIERS)}")
    classifier = CLASSIFIERS[name]()
    try:
        classifier.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"path: the weights in {path} do not make a {name}: {error}") from error
    return classifier.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def shipped_classifier():
    """The first ruler's network, read once a process."""
    return load_classifier()


@lru_cache(maxsize=1)
def second_classifier():
    """The second ruler's network, read once a process."""
    return load_classifier(data_folder() / "fashion-mnist-second-classifier.safetensors")


def as_pictures(name, images, shape=(1, 28, 28)):
    """Float images `(N, *shape)` as a file would hold them: clipped to [-1, 1], rounded to 256 levels; float32, on the CPU.

    Raises TypeError or ValueError, with `name`, for other dtypes and shapes, NaN, and values far outside [-1, 1].
    """
    check_float(name, images)
    if images.shape[1:] != shape:
        raise ValueError(f"{name} must have shape (N, {', '.join(map(str, shape))}), got {tuple(images.shape)}")
    images = images.detach().cpu().float()
    if not torch.isfinite(images).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity in it")
    if images.abs().max() > 10:
        raise ValueError(f"{name} must lie in [-1, 1], got values from {images.min():.3g} to {images.max():.3g}")
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


@torch.no_grad()
def classifier_features(pictures, classifier=None):
    """`image_features` of pictures that `as_pictures` has prepared already."""
    classifier = shipped_classifier() if classifier is None else classifier
    with evaluating(classifier):
        device = next(classifier.parameters()).device
        return torch.cat([classifier.features(batch.to(device)).cpu() for batch in pictures.split(500)])


def image_features(images, classifier=None):
    """The classifier's 128 features of images `(N, 1, 28, 28)` in [-1, 1]: `(N, 128)`, float32.

    The images are clipped and rounded to 256 greys first, as the real ones are. `classifier` is the shipped one if None.
    """
    return classifier_features(as_pictures("images", images), classifier)


def real_pictures():
    """The test pictures (the reference), and the training pictures that the classifiers never saw: `(10000, 1, 28, 28)` each."""
    return load_images(split="test")[0], load_images()[0][CLASSIFIER_TRAINING:]


@lru_cache(maxsize=2)
def real_features(second=False):
    """A shipped classifier's features `(10000, 128)` of both sets of `real_pictures`, the first one's or the second's, computed once a process."""
    classifier = second_classifier() if second else shipped_classifier()
    return tuple(classifier_features(pictures, classifier) for pictures in real_pictures())


def nearest_training_images(images):
    """For each of the images `(N, 1, 28, 28)` in [-1, 1], the nearest training image.

    Returns `(distances, indices)`, `(N,)` each: the root mean square difference of the pixels, and its place in
    `load_images()`. Errors as in `as_pictures`.
    """
    pictures, rows = as_pictures("images", images).flatten(1), load_images()[0].flatten(1)  # (N, 784), (60000, 784)
    half_squares = rows.square().sum(1) / 2
    indices = torch.cat([(half_squares - batch @ rows.T).argmin(1) for batch in pictures.split(50)])
    return (pictures - rows[indices]).square().mean(1).sqrt(), indices


def second_opinion(pictures):
    """The second ruler on pictures that `as_pictures` has prepared: a dict with `second_frechet` and `second_floor`."""
    real, unseen = real_features(second=True)
    distance = frechet_distance(classifier_features(pictures, second_classifier()), real)
    return {"second_frechet": distance, "second_floor": frechet_floor(len(pictures), real, unseen)}


def garment_distances(samples):
    """Both rulers on `samples` `(N, 1, 28, 28)` in [-1, 1], N in 2..10,000: a dict with `n`, `frechet`, `floor`, `second_frechet`, `second_floor`."""
    pictures, (real, unseen) = as_pictures("samples", samples), real_features()
    distance = frechet_distance(classifier_features(pictures), real)
    first = {"n": len(pictures), "frechet": distance, "floor": frechet_floor(len(pictures), real, unseen)}
    return first | second_opinion(pictures)


@torch.no_grad()
def class_shares(features):
    """The share of pictures with the `features` `(N, 128)` that the shipped classifier puts into each of the ten classes: a list."""
    labels = shipped_classifier().head(features).argmax(1)
    return (torch.bincount(labels, minlength=10).double() / len(labels)).tolist()


def evaluate(samples, features=image_features, reference=None):
    """Measure `samples` `(N, C, H, W)` in [-1, 1], at least 10 of them, against real images.

    `features` is any callable from images `(N, C, H, W)` to float features `(N, D)`. `reference` is a pair of sets of real
    images: one to compare the samples with, and one of at least N for the floor. None is Fashion-MNIST: its test pictures,
    and the training pictures that the shipped classifier never saw, 10,000 each. Returns a dict:
    `n`; `frechet`, the `floor` that n real images score, and their `ratio`; `kernel_distance`; `precision` and `recall` (on
    at most 2,000). For Fashion-MNIST also `class_shares`, ten shares by the shipped classifier; `nearest`, the median distance
    to the nearest training image (of at most 500), and `nearest_ratio`, that over the same for test pictures: near 0, it
    memorises. What real images score is under `kernel_distance_real`, `precision_real`, `recall_real` and `nearest_real`.
    With the shipped classifier's features, `second_frechet` and `second_floor` are another network's opinion of the same pictures.
    """
    garments, shipped = reference is None, features is image_features
    if not (garments or (isinstance(reference, (tuple, list)) and [torch.is_tensor(x) for x in reference] == [True, True])):
        raise TypeError(f"reference must be None or a pair of sets of real images, got {type(reference).__name__}")
    shape = (1, 28, 28) if garments else tuple(reference[0].shape[1:])
    pictures = as_pictures("samples", samples, shape)
    if garments and shipped:
        real, unseen = real_features()
    else:
        real, unseen = (features(as_pictures("reference", images, shape)) for images in reference or real_pictures())
    if not 10 <= len(pictures) <= len(unseen):
        raise ValueError(f"samples must be 10 to {len(unseen):,} images, got {len(pictures)}")
    own = classifier_features(pictures) if shipped else features(pictures)
    result = compare_features(own, real, unseen)
    if garments and shipped:
        result |= second_opinion(pictures)
    if garments:
        tests = load_images(split="test", limit=500)[0]
        nearest, nearest_real = (nearest_training_images(some[:500])[0].median().item() for some in (pictures, tests))
        result |= {"nearest": nearest, "nearest_real": nearest_real, "nearest_ratio": nearest / nearest_real}
        result["class_shares"] = class_shares(own if shipped else classifier_features(pictures))
    return result
