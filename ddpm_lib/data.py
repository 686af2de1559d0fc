# Exported from notebooks/00_start_here.ipynb: edit the notebook, not this file.
"""Loading pictures as numbers: bundled Fashion-MNIST, or MNIST and CIFAR-10 by name, as tensors in [-1, 1]."""

import os
from numbers import Integral
from pathlib import Path

import torch
from torch.utils.data import Dataset

import ddpm_lib


def data_folder():
    """The folder that the environment variable `DDPM_DATA` names, or else the `data/` of the clone, as a `Path`.

    Raises FileNotFoundError where there is no such folder: a library that was installed without the clone has none.
    """
    folder = Path(os.environ.get("DDPM_DATA") or Path(ddpm_lib.__file__).resolve().parent.parent / "data")
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no data folder {folder}: the environment variable DDPM_DATA must name the folder that holds the data"
        )
    return folder


def to_minus_one_one(pixels):
    """Map uint8 pixels 0..255 to float32 values in [-1, 1], the range in which every model here works."""
    if pixels.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8 values 0..255, got {pixels.dtype}")
    return pixels.to(torch.float32) / 127.5 - 1


DATASETS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST", "cifar-10": "CIFAR10"}  # torchvision's names for them


def open_dataset(name, split):
    """The torchvision dataset of that name in `data_folder()`, downloaded first if it is not there."""
    from torchvision import datasets  # imported where it is used: it takes as long to import as torch

    folder = data_folder()
    try:
        return getattr(datasets, DATASETS[name])(folder, train=split == "train", download=True)
    except (OSError, EOFError, RuntimeError, ValueError, AssertionError) as error:
        if isinstance(error, OSError) or "Error downloading" in str(error):
            raise RuntimeError(
                f"name={name!r} is not in {folder} and could not be downloaded or unpacked ({error}). "
                "Go online once and call this again, or use name='fashion-mnist', which comes with the repository "
                "(the environment variable DDPM_DATA names the folder that holds the data)."
            ) from error
        raise ValueError(
            f"name={name!r}: a file in {folder} is damaged ({error}). Delete its extracted files and call this again."
        ) from error


def load_images(name="fashion-mnist", split="train", limit=None):
    """Load a dataset as `(images, labels)`.

    `name` is "fashion-mnist" (bundled), "mnist" or "cifar-10" (downloaded once); `split` is "train" or "test".
    images: float32 `(N, C, H, W)` in [-1, 1]; labels: int64 `(N,)`. `limit` keeps the first `limit` of them.
    Raises ValueError for an unknown name or split or a damaged file, RuntimeError when a download fails, FileNotFoundError
    as `data_folder`.
    """
    if name not in DATASETS:
        raise ValueError(f"name must be one of {sorted(DATASETS)}, got {name!r}")
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    if limit is not None and (not isinstance(limit, Integral) or limit < 1):
        raise ValueError(f"limit must be None or a positive integer, got {limit!r}")
    dataset = open_dataset(name, split)
    pixels = torch.as_tensor(dataset.data[:limit])  # (N, H, W) or (N, H, W, C), uint8
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)  # (N, C, H, W)
    return to_minus_one_one(pixels), torch.as_tensor(dataset.targets[:limit], dtype=torch.int64)


class FolderDataset(Dataset):
    """Anyone's own pictures, read from their files whenever they are asked for, so that they need not fit in memory.

    `path` has a sub-folder for each class (torchvision's `ImageFolder`); the pictures are scaled and cropped to squares.
    `dataset[indices]` is what it would be for a tensor of its `shape`, `(len(dataset), channels, image_size, image_size)`:
    float32 in [-1, 1]. `labels` is int64 `(len(dataset),)`, and `classes` has the names of the sub-folders.
    Raises FileNotFoundError where there are no such sub-folders, ValueError for other `channels` or `image_size` and, when it
    is read, for a broken picture.
    """

    def __init__(self, path, image_size=28, channels=1):
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
        if not isinstance(image_size, Integral) or image_size < 1:
            raise ValueError(f"image_size must be a positive integer, got {image_size!r}")
        from torchvision import datasets, transforms

        side = int(image_size)
        steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
        grey = [transforms.Grayscale()] if channels == 1 else []
        try:
            self.folder = datasets.ImageFolder(str(path), transforms.Compose(grey + steps))
        except FileNotFoundError as error:
            expected = "must be a folder with pictures in sub-folders, one a class"
            raise FileNotFoundError(f"path: {path} {expected}: {error}") from error
        self.labels, self.classes = torch.tensor(self.folder.targets), self.folder.classes
        self.numbers, self.shape = torch.arange(len(self.labels)), (len(self.labels), int(channels), side, side)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, indices):
        chosen = self.numbers[indices]  # (N,); () for a single picture
        pictures = torch.stack([self.read(k) for k in chosen.flatten().tolist()]) * 2 - 1
        return pictures.reshape(*chosen.shape, *self.shape[1:])

    def read(self, k):
        """The picture number k, `(channels, image_size, image_size)` in [0, 1]."""
        try:
            return self.folder[k][0]
        except (OSError, SyntaxError) as error:
            raise ValueError(f"path: {self.folder.samples[k][0]} is no whole picture: {error}") from error


def load_folder(path, image_size=28, channels=1):
    """All pictures of a `FolderDataset` at once, as `(images, labels)`, like `load_images`; arguments and errors as there."""
    dataset = FolderDataset(path, image_size, channels)
    return dataset[:], dataset.labels
