"""The data: the original files, anyone's own pictures, the right range, and clear words when something is missing."""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from matplotlib import cbook
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.utils import save_image

from ddpm_lib import data
from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.data import FolderDataset, data_folder, load_folder, load_images

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
    assert torch.equal(load_images(limit=np.int64(5))[0], images)


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


# a folder of one's own pictures


def write_garments(path, garments):
    """Garments as PNG files, in two sub-folders."""
    for k, garment in enumerate(garments[:6]):
        (path / ("some", "more")[k % 2]).mkdir(parents=True, exist_ok=True)
        save_image((garment + 1) / 2, path / ("some", "more")[k % 2] / f"{k}.png")
    return path


def write_photographs(path):
    """Parts of a photograph that comes with matplotlib, as JPEG and PNG files in colour, none of them square."""
    photograph = Image.open(cbook.get_sample_data("grace_hopper.jpg"))
    for k, (kind, corner) in enumerate([("face", 0), ("face", 40), ("uniform", 250), ("uniform", 300)]):
        (path / kind).mkdir(parents=True, exist_ok=True)
        photograph.crop((corner, corner, corner + 200, corner + 260)).save(path / kind / f"{k}.{('jpg', 'png')[k % 2]}")
    return path


def test_a_folder_of_grey_pictures(tmp_path, garments):
    """What is written as files comes back, up to the 8 bits of a file."""
    images, labels = load_folder(write_garments(tmp_path, garments))
    assert images.shape == (6, 1, 28, 28) and labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.allclose(images, garments[[1, 3, 5, 0, 2, 4]], atol=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_photographs(tmp_path, channels):
    images, labels = load_folder(write_photographs(tmp_path), image_size=np.int64(16), channels=channels)
    assert images.shape == (4, channels, 16, 16) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1
    assert labels.tolist() == [0, 0, 1, 1]
    assert channels == 1 or (images[:, 0] - images[:, 2]).abs().mean() > 0.05  # red is not blue: it is in colour


def test_a_folder_read_lazily_is_indexed_like_the_tensor_of_its_pictures(tmp_path):
    images, labels = load_folder(write_photographs(tmp_path), 16, 3)
    dataset = FolderDataset(tmp_path, 16, 3)
    assert len(dataset) == 4 and dataset.shape == images.shape and dataset.classes == ["face", "uniform"]
    assert torch.equal(dataset.labels, labels)
    for indices in (torch.tensor([3, 0, 3]), slice(1, 3), 2, -1, labels == 1):
        assert torch.equal(dataset[indices], images[indices])
    with pytest.raises(IndexError):
        dataset[torch.tensor([4])]


def test_other_processes_read_a_folder(tmp_path):
    """A DataLoader's workers get the dataset pickled; each index that the sampler gives is a whole batch."""
    images, _ = load_folder(write_photographs(tmp_path), 16)
    dataset = pickle.loads(pickle.dumps(FolderDataset(tmp_path, 16)))
    batches = [torch.tensor([2, 0]), torch.tensor([1, 1])]
    loader = DataLoader(dataset, sampler=batches, batch_size=None, num_workers=2)
    assert all(torch.equal(got, images[batch]) for got, batch in zip(loader, batches, strict=True))


def test_a_broken_picture_is_named(tmp_path, garments):
    write_garments(tmp_path, garments)
    broken = tmp_path / "some" / "2.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ValueError, match="^path: .*2.png is no whole picture"):
        load_folder(tmp_path)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="^path: .* must be a folder with pictures in sub-folders"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match="^channels must be"):
        load_folder(tmp_path, channels=2)
    for size in (0, 2.5):
        with pytest.raises(ValueError, match=f"^image_size must be a positive integer, got {size}"):
            load_folder(tmp_path, image_size=size)


# where the data is

ALONE = """
from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.data import load_folder, load_images
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, train
from ddpm_lib.unet import UNet

images, _ = load_folder("mine", 8)
state = TrainingState(UNet(base_channels=8, channel_multipliers=(1,)), NoiseSchedule(linear_betas(10)), 2, batch_size=2)
print(len(train(state, images, progress=False).losses), "steps")
for load in (load_images, load_pretrained):
    try:
        load()
    except FileNotFoundError as error:
        print(error)
"""


def test_installed_without_the_clone_it_trains_on_a_folder_and_says_where_it_looked_for_the_data(tmp_path, garments):
    """A Python that has a copy of the package, and no clone around it."""
    write_garments(tmp_path / "mine", garments)
    shutil.copytree(ROOT / "ddpm_lib", tmp_path / "site" / "ddpm_lib")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    code += "".join(f"import ddpm_lib.{path.stem}\n" for path in (ROOT / "ddpm_lib").glob("[!_]*.py"))
    code += f"assert ddpm_lib.__file__.startswith({str(tmp_path)!r}), ddpm_lib.__file__\n" + ALONE
    command, environment = [sys.executable, "-I", "-c", code], {k: v for k, v in os.environ.items() if k != "DDPM_DATA"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    trained, *looked = done.stdout.splitlines()
    assert trained == "2 steps" and len(looked) == 2
    for line in looked:
        assert (
            line.startswith(f"there is no data folder {tmp_path / 'site' / 'data'}: ") and "DDPM_DATA must name" in line
        )


def test_ddpm_data_names_the_folder(tmp_path, monkeypatch):
    clone = data_folder()
    (tmp_path / "linked").symlink_to(clone)
    monkeypatch.setenv("DDPM_DATA", str(tmp_path / "linked"))
    assert data_folder() == tmp_path / "linked" and len(load_images(split="test", limit=2)[0]) == 2
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    with pytest.raises(
        RuntimeError, match=f"(?s)^name='fashion-mnist' is not in {tmp_path} .*DDPM_DATA names the folder"
    ):
        load_images()
    with pytest.raises(FileNotFoundError, match=f"^path: there is no file {tmp_path}"):
        load_pretrained()
