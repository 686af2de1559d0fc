# Exported from notebooks/00_start_here.ipynb: edit the notebook, not this file.
"""Loading pictures as numbers: bundled Fashion-MNIST, or MNIST and CIFAR-10 by name, as tensors in [-1, 1]."""

from pathlib import Path

import torch

import ddpm_lib


def data_folder():
    """The `data/` folder of the clone that this package was imported from, as a `Path`."""
    return Path(ddpm_lib.__file__).resolve().parent.parent / "data"


def to_minus_one_one(pixels):
    """Map uint8 pixels 0..255 to float32 values in [-1, 1], the range in which every model here works."""
    if pixels.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8 values 0..255, got {pixels.dtype}")
    return pixels.to(torch.float32) / 127.5 - 1


DATASETS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar-10": "CIFAR10"}  # torchvision's names for them


def open_dataset(name, split):
    """The torchvision dataset of that name in `data_folder()`, downloaded first if it is not there."""
    from torchvision import datasets  # imported where it is used: it takes as long to import as torch

    try:
        return getattr(datasets, DATASETS[name])(data_folder(), train=split == "train", download=True)
    except (OSError, EOFError, RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, OSError) or "Error downloading" in str(error):
            raise RuntimeError(
                f"name={name!r} is not in {data_folder()} and could not be downloaded or unpacked ({error}). "
                "Go online once and call this again, or use name='fashion-mnist', which comes with the repository."
            ) from error
        raise ValueError(
            f"name={name!r}: a file in {data_folder()} is damaged ({error}). "
            "Delete its extracted files and call this again."
        ) from error


def load_images(name="fashion-mnist", split="train", limit=None):
    """Load a dataset as `(images, labels)`.

    `name` is "fashion-mnist" (bundled), "mnist" or "cifar-10" (downloaded once); `split` is "train" or "test".
    images: float32 `(N, C, H, W)` in [-1, 1]; labels: int64 `(N,)`. `limit` keeps the first `limit` of them.
    Raises ValueError for an unknown name or split or a damaged file, RuntimeError when a download fails.
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {sorted(DATASETS)}, got {name!r}")
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit must be None or a positive integer, got {limit!r}")
    dataset = open_dataset(name, split)
    pixels = torch.as_tensor(dataset.data[:limit])  # (N, H, W) or (N, H, W, C), uint8
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)  # (N, C, H, W)
    return to_minus_one_one(pixels), torch.as_tensor(dataset.targets[:limit], dtype=torch.int64)
