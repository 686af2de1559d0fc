"""Training: it learns, it averages, and it survives anything without losing a bit."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import CLONE, ROOT, seeded
from matplotlib import cbook
from PIL import Image
from torch.nn import functional as F
from torchvision.utils import save_image

from ddpm_lib import training
from ddpm_lib.sampling import sample
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import (
    EMA,
    ShortChain,
    TrainingState,
    draw_batch,
    draw_quickly,
    load_checkpoint,
    load_folder,
    load_pretrained,
    resume,
    save_checkpoint,
    save_training_state,
    stratified_times,
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
    train(state, F.avg_pool2d(garments[:4], 4, padding=2), progress=False)
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
    code = CHILD.format(root=str(ROOT), tests=str(CLONE / "tests" / "library"))
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "started\n"
    return child


def test_killed_runs_lose_nothing(tmp_path, garments):
    """kill -9 at some moment and in the middle of a write; the run still ends with the bits of one that was left alone."""
    path = tmp_path / "run.safetensors"
    for inside_a_write in (False, True):
        child = start_child(path)
        time.sleep(0.2)
        while inside_a_write and child.poll() is None and not list(tmp_path.glob("*.tmp")):
            pass
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


def test_the_state_before_the_last_is_kept_too(tmp_path, garments):
    path = tmp_path / "run.safetensors"
    train(new_state(steps=5), garments, path, save_every=2, progress=False)
    assert resume(path).step == 5 and resume(training.previous(path)).step == 4


def test_the_times_and_the_noise_of_a_batch_do_not_depend_on_the_number_of_processes(garments, monkeypatch):
    """Two processes draw what one draws, each its half, and leave the generator in the same state."""
    whole, halves, generators = draw_batch(new_state(), garments), [], []
    for rank in (0, 1):
        state = new_state()
        monkeypatch.setattr(training, "place", lambda rank=rank: (rank, 2))
        halves.append(draw_batch(state, garments))
        monkeypatch.undo()
        generators.append(state.generator.get_state())
    assert all(torch.equal(torch.cat(parts), all_of_it) for *parts, all_of_it in zip(*halves, whole, strict=True))
    assert torch.equal(*generators)


@pytest.mark.parametrize(("count", "T"), [(32, 1000), (7, 100), (64, 10)])
def test_stratified_times_are_uniform_and_spread_over_each_batch(count, T):
    """One t from each of `count` equal slices; over many batches every t is as frequent as any other."""
    generator = seeded()
    times = torch.stack([stratified_times(count, T, generator) for _ in range(4000)])
    edges = torch.arange(count + 1, dtype=torch.float64) * T / count
    assert (times > edges[:-1]).all() and (times - 1 < edges[1:]).all() and times.min() == 1 and times.max() == T
    expected = times.numel() / T
    counts = torch.bincount(times.flatten(), minlength=T + 1)[1:]
    assert (counts - expected).abs().max() < 6 * expected**0.5


def test_a_batch_that_does_not_split_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(training, "place", lambda: (0, 3))
    with pytest.raises(ValueError, match="^batch_size must be a multiple of the number of processes, 3, got 8"):
        new_state()


def test_short_chain_keeps_the_noise_of_the_times_that_it_keeps(schedule):
    chain = ShortChain(lambda x_t, t: t, schedule, 50)
    assert chain.times[0] == 0 and chain.times[-1] == schedule.T and chain.schedule.T == 50
    assert torch.allclose(chain.schedule.alpha_bars, schedule.alpha_bars[chain.times], rtol=1e-12)
    assert chain(None, torch.tensor([1, 50])).tolist() == [20, 1000]


def test_short_chain_of_all_times_is_algorithm_2():
    model, schedule = new_state().model, NoiseSchedule(linear_betas(30))
    torch.nn.init.normal_(model.head[-1].weight, std=0.1)
    chain = ShortChain(model, schedule, 30)
    short = sample(chain, chain.schedule, (2, 1, 8, 8), seeded(), progress=False)
    assert torch.allclose(short, sample(model, schedule, (2, 1, 8, 8), seeded(), progress=False), atol=1e-4)


def test_looking_does_not_change_the_run(garments):
    def look(state):
        pictures.append(draw_quickly(state, (1, 1, 8, 8), steps=3))

    pictures = []
    assert same(
        train(new_state(), garments, progress=False, after_step=look), train(new_state(), garments, progress=False)
    )
    assert torch.equal(draw_quickly(new_state(), (1, 1, 8, 8), 3), draw_quickly(new_state(), (1, 1, 8, 8), 3))
    assert len(pictures) == 6 and pictures[0].abs().max() <= 1


@pytest.mark.parametrize("steps", [10, 170, 1300, 100_000])
def test_looks_are_few_and_cheap(steps):
    every = training.steps_between_looks(steps, 64)
    assert steps // every <= 5 and 16 * 50 / (3 * 64 * every) <= 0.05


def test_nan_loss_stops_before_it_spoils_the_weights(garments):
    state = new_state()
    torch.nn.init.constant_(state.model.head[-1].bias, torch.nan)
    before = {name: p.clone() for name, p in state.model.state_dict().items() if "stem" in name}
    with pytest.raises(FloatingPointError, match="loss"):
        train_step(state, garments)
    assert all(torch.equal(state.model.state_dict()[name], p) for name, p in before.items()) and state.step == 0


def test_infinite_gradient_stops_before_it_spoils_the_weights(garments):
    state = new_state()
    state.model.head[-1].weight.register_hook(lambda gradient: gradient / 0)
    with pytest.raises(FloatingPointError, match="gradient"):
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
    images, labels = load_folder(write_photographs(tmp_path), image_size=16, channels=channels)
    assert images.shape == (4, channels, 16, 16) and images.dtype == torch.float32
    assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1
    assert labels.tolist() == [0, 0, 1, 1]
    assert channels == 1 or (images[:, 0] - images[:, 2]).abs().mean() > 0.05  # red is not blue: it is in colour


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


def options_for(folder, out, **more):
    """The command line of a run of ten steps on small pictures, as a list of words."""
    settings = {"data": folder, "out": out, "image-size": 8, "images": 40, "batch-size": 4, "precision": "float32"}
    return [str(word) for name, value in (settings | more).items() for word in (f"--{name}", value)]


def test_command_line_trains_draws_and_goes_on(tmp_path, capsys):
    """In colour, on photographs; the second call finds the run finished."""
    arguments = options_for(write_photographs(tmp_path / "mine"), tmp_path / "run", channels=3)
    for words in ("wrote", "going on with"):
        training.main(arguments)
        assert words in capsys.readouterr().out
    model, schedule = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.settings["image_channels"] == 3 and schedule.T == 1000
    assert Image.open(tmp_path / "run" / "samples-000010.png").size == (8 * 10 + 2, 2 * 10 + 2)
    assert resume(tmp_path / "run" / "training.safetensors").step == 10
    with pytest.raises(SystemExit, match="was trained on 3 channel.*and --data has 1.*\n.*to begin again"):
        training.main(options_for(tmp_path / "mine", tmp_path / "run", channels=1))


def test_two_processes_have_the_losses_of_one(tmp_path, garments):
    """torchrun, two processes, the same batch: the same losses to 1e-5 over ten steps, in float32."""
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    write_garments(tmp_path / "mine", garments)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, "-m", "ddpm_lib.training", *options_for(tmp_path / "mine", tmp_path / "two")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("wrote") == 1, done.stderr
    training.main(options_for(tmp_path / "mine", tmp_path / "one"))
    one, two = (resume(tmp_path / out / "training.safetensors").losses for out in ("one", "two"))
    assert len(one) == 10 and one == pytest.approx(two, rel=1e-5, abs=1e-5)


def test_a_loss_that_is_not_a_number_ends_the_command_with_advice(tmp_path, garments):
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    with pytest.raises(SystemExit, match="(loss|gradient).*\n.*is still in .*lower --learning-rate"):
        training.main([*arguments, "--learning-rate", "1e9"])
    assert torch.isfinite(torch.cat([p.flatten() for p in resume(path).model.parameters()])).all()


def test_a_full_disk_ends_the_command_with_advice(tmp_path, garments):
    """The system refuses files above a limit, half a file after the start; later, with room, the run goes on."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    training.main([*arguments, "--images", "4"])
    before, (soft, hard) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(SystemExit, match=re.compile("too large.*is still in .*Make room in", re.DOTALL)):
            training.main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and not list(path.parent.glob("*.tmp"))
    training.main(arguments)


def test_a_spoilt_state_ends_the_command_with_advice(tmp_path, garments):
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    path.parent.mkdir()
    path.write_bytes(b"not a state")
    with pytest.raises(SystemExit, match="training.safetensors is no whole .*\nDelete .*training.safetensors to begin"):
        training.main(arguments)
    training.previous(path).write_bytes(b"the one before")
    with pytest.raises(SystemExit, match="\nPut .*training.previous.safetensors, the state before it, in its place"):
        training.main(arguments)
    assert path.read_bytes() == b"not a state"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", ".", "--image-size", "30"], "--image-size: must be a multiple of 4.*28 or 32, not 30"),
        (["--data", ".", "--image-size", "2"], "--image-size: must be a multiple of 4.*: 4, not 2"),
        (["--image-size", "32"], "--image-size and --channels are for a folder"),
        (["--minutes", "0"], "--minutes: must be positive, got 0"),
        (["--minutes", "nan"], "--minutes: must be positive, got nan"),
        (["--images", "many"], "--images: invalid int value: 'many'"),
        (["--batch-size", "-1"], "--batch-size: must be positive, got -1"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(arguments, message, capsys):
    with pytest.raises(SystemExit):
        training.parse_arguments(arguments)
    assert re.search(message, capsys.readouterr().err)


def test_pictures_that_are_not_there_are_refused_by_the_option(tmp_path):
    with pytest.raises(SystemExit, match="^path: .*nothing.*must be a folder.*\n--data must be"):
        training.main(["--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_minutes_become_steps_once(garments, monkeypatch):
    """A budget in minutes fixes the number of steps at the start, so that the learning rate does not follow the clock."""
    monkeypatch.setattr(training, "choose_precision", lambda *_: ("float32", 0.5))
    state = training.start_training(garments, training.parse_arguments(["--minutes", "2"]))
    assert state.settings["steps"] == pytest.approx(240 * 0.95, abs=2)


def test_measuring_the_pace_leaves_the_weights_as_they_were(garments):
    model, pictures = new_state().model, F.avg_pool2d(garments, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    precision, seconds = training.choose_precision(model, NoiseSchedule(linear_betas(1000)), pictures, 4)
    assert precision in ("float32", "bfloat16") and seconds > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


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
