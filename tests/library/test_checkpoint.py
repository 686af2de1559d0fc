"""Files: whole or not there, never a program, and a network comes back to the bit with all that is known of it."""

import json
import os
import pickle

import pytest
import torch
from conftest import seeded
from safetensors import safe_open
from test_training import new_state

from ddpm_lib import checkpoint
from ddpm_lib.checkpoint import load_checkpoint, load_pretrained, read_safetensors, save_checkpoint, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import resume, save_training_state
from ddpm_lib.unet import UNet


def tiny_unet(**settings):
    return UNet(base_channels=8, channel_multipliers=(1,), **settings)


@pytest.mark.parametrize("make", [linear_betas, cosine_betas])
def test_checkpoint_brings_back_model_and_schedule(tmp_path, make):
    torch.manual_seed(0)
    model, schedule = UNet(image_channels=3, base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(make(50))
    torch.nn.init.normal_(model.head[-1].weight)
    save_checkpoint(tmp_path / "a" / "model.safetensors", model, schedule, {"made by": "a test"})
    loaded, loaded_schedule = load_checkpoint(tmp_path / "a" / "model.safetensors")
    x_t = torch.randn(2, 3, 8, 8, generator=seeded())
    assert torch.equal(loaded(x_t, 7), model(x_t, 7)) and not loaded.training
    assert torch.equal(loaded_schedule.betas, schedule.betas)


def test_the_shipped_weights_load_bit_for_bit():
    """It is the default UNet, which predicts noise, with the weights in the file."""
    path = data_folder() / "fashion-mnist.safetensors"
    with safe_open(path, framework="pt") as file:
        stored = {name.removeprefix("model."): file.get_tensor(name) for name in file.keys() if name != "betas"}
        assert file.metadata()["network"] == "UNet" and file.metadata()["predicts"] == "noise"
    model, schedule = load_pretrained()
    assert type(model) is UNet and model.state_dict().keys() == stored.keys()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    assert torch.equal(schedule.betas[1:], linear_betas(1000))


def test_a_checkpoint_from_before_the_notes_is_a_unet_that_predicts_noise(tmp_path):
    path, model = tmp_path / "model.safetensors", tiny_unet()
    torch.nn.init.normal_(model.head[-1].weight)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors["betas"] = NoiseSchedule(linear_betas(10)).betas[1:]
    write_safetensors(path, tensors, {"kind": "checkpoint", "model": json.dumps(model.settings)})
    x_t = torch.randn(2, 1, 8, 8, generator=seeded())
    assert torch.equal(load_checkpoint(path)[0](x_t, 7), model(x_t, 7))


def test_a_checkpoint_says_what_it_holds(tmp_path):
    path, model = tmp_path / "model.safetensors", tiny_unet()
    model.class_names = ["boot", "dress"]
    save_checkpoint(path, model, NoiseSchedule(linear_betas(10)))
    about = read_safetensors(path, "checkpoint")[1]
    assert (about["network"], about["predicts"], json.loads(about["class names"])) == (
        "UNet",
        "noise",
        ["boot", "dress"],
    )
    assert load_checkpoint(path)[0].class_names == ["boot", "dress"]


@pytest.mark.parametrize(
    ("about", "named"), [({"network": "os.system"}, "'os.system'"), ({"predicts": "the future"}, "'the future'")]
)
def test_an_unknown_network_is_refused_by_name(tmp_path, about, named):
    path = tmp_path / "model.safetensors"
    metadata = {"kind": "checkpoint"} | checkpoint.describe_network(tiny_unet()) | about
    write_safetensors(path, {"model.x": torch.zeros(1)}, metadata)
    with pytest.raises(ValueError, match=f"^path: .*model.safetensors holds a network .*{named}.*; known are UNet"):
        load_checkpoint(path)
    with pytest.raises(TypeError, match="^model must be one of UNet, ClassUNet, got Linear"):
        save_checkpoint(path, torch.nn.Linear(2, 2), NoiseSchedule(linear_betas(10)))


def test_failed_write_keeps_the_last_good_file(tmp_path, monkeypatch):
    path, state = tmp_path / "run.safetensors", new_state()
    save_training_state(path, state)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_training_state(path, state)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_only_our_own_leftovers_are_removed(tmp_path):
    """What a killed process left is a number between the file's name and .tmp; everything else belongs to somebody."""
    ours, path = tmp_path / "run.safetensors.4711.tmp", tmp_path / "run.safetensors"
    others = [
        tmp_path / name
        for name in ("notes.tmp", "run.safetensors.tmp", "other.safetensors.12.tmp", "run.safetensors.x.tmp")
    ]
    for file in (ours, *others):
        file.write_text("half")
    checkpoint.remove_leftovers(path)
    assert not ours.exists() and all(file.exists() for file in others)


def damaged_files(folder):
    """Files that are no checkpoint, by what is wrong with them."""
    good = folder / "good.safetensors"
    save_checkpoint(good, UNet(base_channels=8, channel_multipliers=(1,)), NoiseSchedule(linear_betas(10)))
    contents = good.read_bytes()
    return {
        "empty": b"",
        "truncated": contents[: len(contents) // 2],
        "text": b"hello",
        "pickled": pickle.dumps({"model": 1}),
        "torch.save": (torch.save({"w": torch.ones(2)}, folder / "w.pt"), (folder / "w.pt").read_bytes())[1],
        "header": b"\xff" * 8 + contents[8:],
    }


@pytest.mark.parametrize("kind", ["empty", "truncated", "text", "pickled", "torch.save", "header"])
@pytest.mark.parametrize("load", [load_checkpoint, resume])
def test_damaged_and_pickled_files_are_refused(tmp_path, kind, load):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(damaged_files(tmp_path)[kind])
    with pytest.raises(ValueError, match="^path: .*bad.safetensors is no whole safetensors file"):
        load(path)


def test_a_changed_number_is_noticed(tmp_path):
    path = tmp_path / "run.safetensors"
    save_training_state(path, new_state())
    contents = bytearray(path.read_bytes())
    contents[-100] ^= 1
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="^path: .*run.safetensors is corrupt"):
        resume(path)


def test_missing_and_mistaken_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="^path: there is no file"):
        load_checkpoint(tmp_path / "nothing.safetensors")
    save_training_state(tmp_path / "run.safetensors", new_state())
    with pytest.raises(ValueError, match="^path: .* must be a checkpoint"):
        load_checkpoint(tmp_path / "run.safetensors")
    with pytest.raises(ValueError, match="^name must be"):
        load_pretrained("imagenet")


def test_files_without_settings_are_refused(tmp_path):
    path = tmp_path / "bare.safetensors"
    for kind, load in (("checkpoint", load_checkpoint), ("training state", resume)):
        write_safetensors(path, {"model.x": torch.zeros(1)}, {"kind": kind, "version": "2"})
        with pytest.raises(ValueError, match="^path: .*bare.safetensors do not make a UNet"):
            load(path)


def test_notes_cannot_change_what_a_checkpoint_is(tmp_path):
    path = tmp_path / "model.safetensors"
    notes = {"kind": "poem", "model": "{}", "network": "none", "author": "me"}
    save_checkpoint(path, UNet(base_channels=8, channel_multipliers=(1,)), NoiseSchedule(linear_betas(10)), notes)
    load_checkpoint(path)
    assert read_safetensors(path, "checkpoint")[1]["author"] == "me"


def test_weights_that_do_not_fit_the_settings_are_refused(tmp_path):
    model = UNet(base_channels=8, channel_multipliers=(1,))
    model.settings["base_channels"] = 16
    save_checkpoint(tmp_path / "odd.safetensors", model, NoiseSchedule(linear_betas(10)))
    with pytest.raises(ValueError, match="do not make a UNet"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_pretrained_model_denoises_better_than_the_average_picture():
    """At t = 300 the shipped model's guess of x_0 must be far nearer than the best guess that ignores x_t."""
    model, schedule = load_pretrained()
    images = load_images(split="test", limit=64)[0]
    noise = torch.randn(images.shape, generator=seeded())
    with torch.no_grad():
        x_t = schedule.add_noise(images, 300, noise)
        guess = schedule.predict_x_0(x_t, 300, model(x_t, 300)).clamp(-1, 1)
    error, baseline = ((guess - images) ** 2).mean(), ((images - images.mean(0)) ** 2).mean()
    assert error < baseline / 4
    assert not model.training and schedule.T == 1000
    assert (data_folder() / "fashion-mnist.safetensors").stat().st_size < 8e6
