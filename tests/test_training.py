"""Training: it learns, it averages, and it survives anything without losing a bit."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT, seeded
from PIL import Image

from ddpm_lib import training
from ddpm_lib.sampling import sample
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import (
    EMA,
    TrainingState,
    load_checkpoint,
    load_folder,
    load_pretrained,
    resume,
    save_checkpoint,
    save_training_state,
    train,
    train_step,
)
from ddpm_lib.unet import UNet


def new_state(steps=6, seed=0, **settings):
    torch.manual_seed(seed)
    model = UNet(base_channels=8, channel_multipliers=(1, 2))
    return TrainingState(model, NoiseSchedule(linear_betas(1000)), steps, **{"batch_size": 8} | settings)


def same(one, two):
    """Whether two runs hold the same bits: weights, average, optimiser, generator, losses."""
    pairs = [(one.model.state_dict(), two.model.state_dict()), (one.ema.model.state_dict(), two.ema.model.state_dict())]
    moments = [
        [v for p in state.model.parameters() for _, v in sorted(state.optimizer.state[p].items())]
        for state in (one, two)
    ]
    return (
        all(torch.equal(a[name], b[name]) for a, b in pairs for name in a)
        and all(map(torch.equal, *moments))
        and torch.equal(one.generator.get_state(), two.generator.get_state())
        and (one.step, one.losses, one.ema.updates) == (two.step, two.losses, two.ema.updates)
    )


def test_it_overfits_one_batch(garments):
    state = new_state(steps=150, batch_size=32, learning_rate=5e-3)
    train(state, garments[:4], progress=False)
    first, last = sum(state.losses[:10]) / 10, sum(state.losses[-10:]) / 10
    assert last < 0.2 * first, (first, last)


def test_average_of_constant_weights_is_those_weights():
    model = UNet(base_channels=8, channel_multipliers=(1,))
    ema = EMA(model)
    for _ in range(5):
        ema.update(model)
    assert all(torch.allclose(a, b) for a, b in zip(ema.model.parameters(), model.parameters(), strict=True))
    assert not ema.model.training and not any(p.requires_grad for p in ema.model.parameters())


def test_average_is_the_power_function():
    """After K updates, weight k counts in proportion to k^gamma, up to the step from sum to integral."""
    model, gamma, count = torch.nn.Linear(1, 1, bias=False), 6.94, 400
    ema = EMA(model, gamma)
    for k in range(1, count + 1):
        torch.nn.init.constant_(model.weight, k)
        ema.update(model)
    assert ema.model.weight.item() == pytest.approx(count * (gamma + 1) / (gamma + 2), rel=0.01)


def test_first_update_forgets_the_random_start():
    model = torch.nn.Linear(3, 3)
    ema = EMA(model)
    torch.nn.init.ones_(model.weight)
    ema.update(model)
    assert (ema.model.weight == 1).all()


def test_same_seed_same_run(garments):
    one, two, other = (train(new_state(seed=s), garments, progress=False) for s in (0, 0, 1))
    assert same(one, two) and one.losses != other.losses


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_resumed_run_continues_to_the_bit(tmp_path, garments, precision, stop):
    straight = train(new_state(precision=precision), garments, progress=False)
    halved = new_state(precision=precision)
    for _ in range(stop):
        train_step(halved, garments)
    save_training_state(tmp_path / "run.safetensors", halved)
    resumed = train(resume(tmp_path / "run.safetensors"), garments, progress=False)
    assert same(straight, resumed)


CHILD = """
import sys, torch
sys.path.insert(0, {root!r}); sys.path.insert(0, {tests!r})
from test_training import new_state, resume, train
from ddpm_lib.data import load_images
from pathlib import Path
path = Path(sys.argv[1])
state = resume(path) if path.exists() else new_state(steps=40)
print("started", flush=True)
train(state, load_images(limit=64)[0], path, save_every=1, progress=False)
print("done", flush=True)
"""


def start_child(path):
    code = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"))
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    return child


def test_killed_runs_lose_nothing(tmp_path, garments):
    """kill -9 at three moments of one run; it still ends with the bits of a run that was left alone."""
    path = tmp_path / "run.safetensors"
    for wait in (0.05, 0.2, 0.35):
        child = start_child(path)
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.wait()
        if path.exists():
            resume(path)  # whatever the moment, the file is whole
    assert start_child(path).communicate()[0].endswith("done\n")
    assert same(resume(path), train(new_state(steps=40), garments, progress=False))


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to a child on Windows")
def test_ctrl_c_saves_and_stops_between_two_steps(tmp_path, garments):
    path = tmp_path / "run.safetensors"
    state = new_state(steps=30)

    def press(state):
        if state.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(state, garments, path, progress=False, after_step=press)
    assert state.step < 30 and same(resume(path), state)
    assert same(train(resume(path), garments, progress=False), train(new_state(steps=30), garments, progress=False))


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


def test_nan_loss_stops_before_it_spoils_the_weights(garments):
    state = new_state()
    torch.nn.init.constant_(state.model.head[-1].bias, torch.nan)
    before = {name: p.clone() for name, p in state.model.state_dict().items() if "stem" in name}
    with pytest.raises(FloatingPointError, match="loss became nan at step 1"):
        train_step(state, garments)
    assert all(torch.equal(state.model.state_dict()[name], p) for name, p in before.items()) and state.step == 0


def test_infinite_gradient_stops_before_it_spoils_the_weights(garments):
    state = new_state()
    state.model.head[-1].weight.register_hook(lambda gradient: gradient / 0)
    with pytest.raises(FloatingPointError, match="gradient became .* at step 1"):
        train_step(state, garments)
    assert all(torch.isfinite(p).all() for p in state.model.parameters()) and state.step == 0


@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": 2.5}, {"batch_size": 0}, {"precision": "float16"}])
def test_bad_training_settings_are_named(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}"):
        new_state(**settings)


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
        training.write_safetensors(path, {"model.x": torch.zeros(1)}, {"kind": kind})
        with pytest.raises(ValueError, match="^path: .*bare.safetensors do not make a UNet"):
            load(path)


def test_notes_cannot_change_what_a_checkpoint_is(tmp_path):
    path = tmp_path / "model.safetensors"
    notes = {"kind": "poem", "model": "{}", "author": "me"}
    save_checkpoint(path, UNet(base_channels=8, channel_multipliers=(1,)), NoiseSchedule(linear_betas(10)), notes)
    load_checkpoint(path)
    assert training.read_safetensors(path, "checkpoint")[1]["author"] == "me"


def test_weights_that_do_not_fit_the_settings_are_refused(tmp_path):
    model = UNet(base_channels=8, channel_multipliers=(1,))
    model.settings["base_channels"] = 16
    save_checkpoint(tmp_path / "odd.safetensors", model, NoiseSchedule(linear_betas(10)))
    with pytest.raises(ValueError, match="do not make a UNet"):
        load_checkpoint(tmp_path / "odd.safetensors")


@pytest.mark.parametrize("spoil", [lambda x: (x + 1) * 127.5, lambda x: x.where(x < 0, torch.nan), lambda x: x[:0]])
def test_bad_training_images_are_refused(garments, spoil):
    with pytest.raises(ValueError, match="^x_0 must"):
        train(new_state(), spoil(garments), progress=False)


def make_folder(path, count=3, size=(40, 31)):
    for name in ("hats", "shoes"):
        (path / name).mkdir(parents=True)
        for i in range(count):
            pixels = torch.randint(0, 256, (size[1], size[0], 3), generator=seeded(i), dtype=torch.uint8)
            Image.fromarray(pixels.numpy()).save(path / name / f"{i}.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_ones_own_pictures(tmp_path, channels):
    make_folder(tmp_path / "mine")
    images, labels = load_folder(tmp_path / "mine", image_size=16, channels=channels)
    assert images.shape == (6, channels, 16, 16) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.2 and 0.2 < images.max() <= 1
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="^path: .* must be a folder with pictures in sub-folders"):
        load_folder(tmp_path)
    with pytest.raises(ValueError, match="^channels must be"):
        load_folder(tmp_path, channels=2)


def test_command_line_trains_resumes_and_draws(tmp_path):
    """python -m ddpm_lib.training on a small folder of pictures, twice: the second call finds the run finished."""
    make_folder(tmp_path / "mine")
    command = [sys.executable, "-m", "ddpm_lib.training", "--data", str(tmp_path / "mine"), "--image-size", "8",
               "--channels", "3", "--images", "12", "--batch-size", "4", "--out", str(tmp_path / "run")]  # fmt: skip
    for words in ("wrote", "going on with"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    model, schedule = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert sample(model, schedule, (1, 3, 8, 8), progress=False).shape == (1, 3, 8, 8)
    assert Image.open(tmp_path / "run" / "samples.png").size[0] > 8
    assert resume(tmp_path / "run" / "training.safetensors").settings["steps"] == 3


def test_minutes_become_steps_once(garments, monkeypatch):
    """A budget in minutes fixes the number of steps at the start, so that the learning rate does not follow the clock."""
    monkeypatch.setattr(training, "choose_precision", lambda *_: ("float32", 0.5))
    state = training.start_training(garments, minutes=2, image_budget=None, batch_size=4, learning_rate=1e-3, seed=0)
    assert state.settings["steps"] == 240


def test_pretrained_model_denoises_better_than_the_average_picture():
    """At t = 300 the shipped model's guess of x_0 must be far nearer than the best guess that ignores x_t."""
    from ddpm_lib.data import load_images

    model, schedule = load_pretrained()
    images = load_images(split="test", limit=64)[0]
    noise = torch.randn(images.shape, generator=seeded())
    with torch.no_grad():
        x_t = schedule.add_noise(images, 300, noise)
        guess = schedule.predict_x_0(x_t, 300, model(x_t, 300)).clamp(-1, 1)
    error, baseline = ((guess - images) ** 2).mean(), ((images - images.mean(0)) ** 2).mean()
    assert error < baseline / 4
    assert not model.training and schedule.T == 1000
    assert (training.data_folder() / "fashion-mnist.safetensors").stat().st_size < 8e6


def test_importing_the_library_does_not_import_jupyter():
    code = """
import sys, ddpm_lib.training, ddpm_lib.viz
print([m for m in ("IPython", "ipykernel", "ipywidgets", "jupyterlab", "notebook", "diffusers") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert json.loads(done.stdout.replace("'", '"')) == []
