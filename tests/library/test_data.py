"""The bundled data: the original files, the right range, and clear words when something is missing."""

import hashlib
import shutil

import pytest
import torch
from torchvision import datasets

from ddpm_lib import data
from ddpm_lib.data import data_folder, load_images

RAW = data_folder() / "FashionMNIST" / "raw"


def test_bundled_files_are_the_originals():
    """torchvision knows the checksums of the files that Zalando published."""
    for name, checksum in datasets.FashionMNIST.resources:
        assert hashlib.md5((RAW / name).read_bytes()).hexdigest() == checksum


@pytest.mark.parametrize("split, count", [("train", 60_000), ("test", 10_000)])
def test_images_are_balanced_and_fill_the_range(split, count):
    images, labels = load_images(split=split)
    assert images.shape == (count, 1, 28, 28) and images.dtype == torch.float32
    assert images.min() == -1 and images.max() == 1
    assert torch.bincount(labels).tolist() == [count // 10] * 10


def test_limit_keeps_the_first_images():
    images, labels = load_images(limit=5)
    everything, every_label = load_images()
    assert torch.equal(images, everything[:5]) and torch.equal(labels, every_label[:5])


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"name": "imagenet"}, "name"),
        ({"split": "validation"}, "split"),
        ({"limit": 0}, "limit"),
        ({"limit": 2.5}, "limit"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=f"^{word} must"):
        load_images(**arguments)


@pytest.mark.parametrize("name", ["mnist", "cifar-10"])
def test_offline_download_says_what_to_do(name, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "data_folder", lambda: tmp_path)
    with pytest.raises(RuntimeError, match="Go online once .* or use name='fashion-mnist'"):
        load_images(name)


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_damaged_extracted_file_is_reported(damage, tmp_path, monkeypatch):
    shutil.copytree(RAW, tmp_path / "FashionMNIST" / "raw")
    monkeypatch.setattr(data, "data_folder", lambda: tmp_path)
    load_images(split="test", limit=1)  # extracts the archives
    file = tmp_path / "FashionMNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000] if damage == "truncated" else b"")
    with pytest.raises(ValueError, match="damaged"):
        load_images(split="test")
