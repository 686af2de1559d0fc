"""The command line: it trains, draws and measures, goes on where it stopped, and says in a sentence what is wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from test_data import write_garments, write_photographs
from test_training import new_state, same
from torch.nn import functional as F

from ddpm_lib import cli
from ddpm_lib.checkpoint import load_checkpoint, load_pretrained, read_safetensors
from ddpm_lib.data import to_minus_one_one
from ddpm_lib.fast_sampling import dpm_solver_sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import previous, resume


def options_for(folder, out, **more):
    """The command line of a run of ten steps on small pictures, as a list of words."""
    settings = {
        "data": folder,
        "out": out,
        "image-size": 8,
        "images": 40,
        "batch-size": 4,
        "precision": "float32",
        "device": "cpu",
    }
    return ["train"] + [str(word) for name, value in (settings | more).items() for word in (f"--{name}", value)]


def test_command_line_trains_draws_and_goes_on(tmp_path, capsys):
    """In colour, on photographs; the second call finds the run finished."""
    arguments = options_for(write_photographs(tmp_path / "mine"), tmp_path / "run", channels=3)
    for words in ("wrote", "going on with"):
        cli.main(arguments)
        assert words in capsys.readouterr().out
    model, schedule = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert model.settings["image_channels"] == 3 and schedule.T == 1000
    assert Image.open(tmp_path / "run" / "samples-000010.png").size == (8 * 10 + 2, 2 * 10 + 2)
    assert resume(tmp_path / "run" / "training.safetensors").step == 10
    with pytest.raises(SystemExit, match="was trained on 3 channel.*and --data has 1.*\n.*to begin again"):
        cli.main(options_for(tmp_path / "mine", tmp_path / "run", channels=1))


def test_every_command_explains_itself(capsys):
    for command in ("train", "sample", "evaluate"):
        with pytest.raises(SystemExit, match="^0$"):
            cli.main([command, "--help"])
        assert f"python -m ddpm_lib {command}" in capsys.readouterr().out


def test_the_seed_alone_decides_a_run_of_so_many_images(garments, monkeypatch):
    """Nothing is timed, and the precision is the processor's: it is in the settings, and so in the file."""
    monkeypatch.setattr(cli, "seconds_per_step", None)
    monkeypatch.setattr(cli, "best_precision", lambda device: "bfloat16")
    for words, precision in (([], "bfloat16"), (["--precision", "float32"], "float32")):
        options = cli.parse_arguments(["train", "--images", "64", "--device", "cpu", *words])
        assert cli.start_training(garments, None, options).settings["precision"] == precision


def test_a_folder_read_while_it_trains_gives_the_same_run(tmp_path, garments, monkeypatch):
    write_garments(tmp_path / "mine", garments)
    states = []
    for out, words in (("one", []), ("two", ["--workers", "2"]), ("three", [])):
        monkeypatch.setattr(cli, "fits_in_memory", lambda shape, out=out: out != "three")
        cli.main([*options_for(tmp_path / "mine", tmp_path / out), *words])
        states.append(resume(tmp_path / out / "training.safetensors"))
    assert same(states[0], states[1]) and same(states[0], states[2])


@pytest.mark.parametrize("first", [0, 5])
def test_two_processes_have_the_losses_of_one(tmp_path, garments, first):
    """torchrun, two processes, each with workers that read its half of every batch: the losses of one to 1e-5 in float32.

    From the start, or going on with a run of one process after step 5.
    """
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch has no torch.distributed")
    write_garments(tmp_path / "mine", garments)
    one, two = tmp_path / "one", tmp_path / "two"
    cli.main([*options_for(tmp_path / "mine", one), "--save-every", "5"])
    if first:
        two.mkdir()
        shutil.copy(one / "training.previous.safetensors", two / "training.safetensors")
        assert resume(two / "training.safetensors").step == first
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "ddpm_lib"]
    command = [sys.executable, *launcher, *options_for(tmp_path / "mine", two, workers=2)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.count("wrote") == 1, done.stderr
    alone, shared = (resume(out / "training.safetensors").losses for out in (one, two))
    assert len(alone) == 10 and alone == pytest.approx(shared, rel=1e-5, abs=1e-5)


HOLDER = """
import os, sys, time
from pathlib import Path
from ddpm_lib.cli import only_run_in
with only_run_in(Path(sys.argv[1])):
    if os.fork() == 0:  # a worker, which outlives its run for a while
        time.sleep(60)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_a_second_run_in_a_folder_is_refused_until_the_first_is_dead(tmp_path, garments):
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(SystemExit, match="^Another run is at work in .*run.* another --out"):
            cli.main(arguments)
        holder.kill()
        holder.wait()
        cli.main(arguments)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)  # the worker
    assert resume(tmp_path / "run" / "training.safetensors").step == 10


@pytest.mark.skipif(os.name == "nt", reason="on Windows SIGTERM ends a process at once")
def test_a_run_and_its_workers_that_are_asked_to_end_lose_nothing(tmp_path, garments):
    """SIGTERM to all processes of a run, as torchrun sends it, or a shared machine that needs the place."""
    write_garments(tmp_path / "mine", garments)
    more = {"images": 400_000, "workers": 2, "save-every": 3}
    command = [sys.executable, "-m", "ddpm_lib", *options_for(tmp_path / "mine", tmp_path / "run", **more)]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while run.poll() is None and not (tmp_path / "run" / "training.previous.safetensors").exists():
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGTERM)
    try:
        said = run.communicate(timeout=60)[1]
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    step = resume(tmp_path / "run" / "training.safetensors").step
    assert run.returncode == 1 and f"stopped after step {step} of 100000\nRun the same command to go on." in said


def test_a_run_removes_only_its_own_leftovers(tmp_path, garments):
    run = tmp_path / "run"
    run.mkdir()
    for name in ("training.safetensors.4711.tmp", "somebody.tmp"):
        (run / name).write_text("half")
    cli.main(options_for(write_garments(tmp_path / "mine", garments), run))
    assert [path.name for path in run.glob("*.tmp")] == ["somebody.tmp"]


def test_a_loss_that_is_not_a_number_ends_the_command_with_advice(tmp_path, garments):
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    with pytest.raises(SystemExit, match="(loss|gradient).*\n.*is still in .*lower --learning-rate"):
        cli.main([*arguments, "--learning-rate", "1e9"])
    assert torch.isfinite(torch.cat([p.flatten() for p in resume(path).model.parameters()])).all()


def test_a_full_disk_ends_the_command_with_advice(tmp_path, garments):
    """The system refuses files above a limit, half a file after the start; later, with room, the run goes on."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    cli.main([*arguments, "--images", "4"])
    before, (soft, hard) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(SystemExit, match=re.compile("too large.*is still in .*Make room in", re.DOTALL)):
            cli.main(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and not list(path.parent.glob("*.tmp"))
    cli.main(arguments)


def test_a_spoilt_state_ends_the_command_with_advice(tmp_path, garments):
    path = tmp_path / "run" / "training.safetensors"
    arguments = options_for(write_garments(tmp_path / "mine", garments), tmp_path / "run")
    path.parent.mkdir()
    path.write_bytes(b"not a state")
    with pytest.raises(SystemExit, match="training.safetensors is no whole .*\nDelete .*training.safetensors to begin"):
        cli.main(arguments)
    previous(path).write_bytes(b"the one before")
    with pytest.raises(SystemExit, match="\nPut .*previous.safetensors, the state before it, in its place"):
        cli.main(arguments)
    assert path.read_bytes() == b"not a state"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", ".", "--image-size", "30"], "--image-size: must be a multiple of 4.*28 or 32, not 30"),
        (["--data", ".", "--image-size", "2"], "--image-size: must be a multiple of 4.*: 4, not 2"),
        (["--image-size", "32"], "--image-size, --channels and --workers are for a folder"),
        (["--minutes", "0"], "--minutes: must be positive, got 0"),
        (["--minutes", "nan"], "--minutes: must be positive, got nan"),
        (["--device", "abacus"], "--device: torch can't use 'abacus' on this machine"),
        (["--images", "many"], "--images: invalid int value: 'many'"),
        (["--batch-size", "-1"], "--batch-size: must be positive, got -1"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(arguments, message, capsys):
    with pytest.raises(SystemExit):
        cli.parse_arguments(["train", *arguments])
    assert re.search(message, capsys.readouterr().err)


def test_pictures_that_are_not_there_are_refused_by_the_option(tmp_path):
    with pytest.raises(SystemExit, match="^path: .*nothing.*must be a folder.*\n--data must be"):
        cli.main(["train", "--data", str(tmp_path / "nothing"), "--out", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_minutes_become_steps(garments, monkeypatch):
    """A budget in minutes is a number of steps, so that the learning rate does not follow the clock; the last look is in it."""
    monkeypatch.setattr(cli, "seconds_per_step", lambda *_: 0.5)
    state = cli.start_training(garments, None, cli.parse_arguments(["train", "--minutes", "2", "--device", "cpu"]))
    assert state.settings["steps"] == pytest.approx(240 * 0.95 - 16 * 50 / (3 * 32), abs=2)


@pytest.mark.parametrize("pace", [0.25, 0.5, 1.0])
def test_the_plan_is_made_again_once_from_the_pace_of_the_run(monkeypatch, pace):
    """A first guess of half a second a step: whatever the pace turns out to be, the plan is made once more, and the run ends in time."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(cli, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    options = SimpleNamespace(minutes=10, start=0.0, batch_size=32)
    state, again, plans = (
        SimpleNamespace(step=0, settings={"steps": int(600 * 0.95 / 0.5)}),
        cli.plan_again(options),
        [],
    )
    while state.step < state.settings["steps"]:
        state.step, clock.now = state.step + 1, clock.now + pace
        if again(state):
            plans.append(state.settings["steps"])
    assert len(plans) == 1 and 600 * 0.93 < clock.now + pace * 16 * 50 / (3 * 32) <= 600


def test_a_run_that_counts_minutes_is_stopped_and_goes_on_with_its_plan(tmp_path, garments, monkeypatch):
    write_garments(tmp_path / "mine", garments)
    monkeypatch.setattr(cli, "seconds_per_step", lambda *_: 0.5)
    monkeypatch.setattr(cli, "take_a_look", lambda *_: None)
    planned = []

    def stop_after_planning(options):
        def after_step(state):
            if state.step == 3:
                state.settings["steps"] = 5
                planned.append(state.step)
                signal.raise_signal(signal.SIGINT)
            return state.step == 3

        return after_step

    monkeypatch.setattr(cli, "plan_again", stop_after_planning)
    words = [
        "train",
        "--data",
        str(tmp_path / "mine"),
        "--image-size",
        "8",
        "--batch-size",
        "2",
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    with pytest.raises(SystemExit, match="after step 3 of 5"):
        cli.main(words)
    cli.main(words)
    assert planned == [3] and resume(tmp_path / "run" / "training.safetensors").step == 5


def test_measuring_the_pace_leaves_the_weights_as_they_were(garments):
    model, pictures = new_state().model, F.avg_pool2d(garments, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert cli.seconds_per_step(model, NoiseSchedule(linear_betas(1000)), pictures, {"batch_size": 4}) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("steps", [10, 170, 1300, 100_000])
def test_looks_are_few_and_cheap(steps):
    every = cli.steps_between_looks(steps, 64)
    assert steps // every <= 5 and 16 * 50 / (3 * 64 * every) <= 0.05


def drawn(tmp_path, name, *words):
    """What `sample` writes: the pixels, uint8 `(N, C, H, W)`."""
    file = tmp_path / f"{name}.safetensors"
    cli.main(["sample", "--out", str(tmp_path / f"{name}.png"), "--safetensors", str(file), "--device", "cpu", *words])
    return read_safetensors(file, "samples")[0]["pixels"]


def test_sample_draws_what_the_library_draws(tmp_path, capsys):
    """The shipped model, a grid, single pictures and all pixels: the same pictures, whatever the size of a batch."""
    words = ["-n", "3", "--steps", "4", "--seed", "5", "--precision", "float32"]
    pixels = drawn(tmp_path, "three", *words, "--pngs", str(tmp_path / "each"))
    assert "sampler dpm_solver, evaluations 4, seed 5, computed in float32" in capsys.readouterr().out
    model, schedule = load_pretrained()
    generator = torch.Generator().manual_seed(5)
    images = dpm_solver_sample(model, schedule, (3, 1, 28, 28), steps=4, generator=generator, progress=False)
    assert (to_minus_one_one(pixels) - images).abs().max() < 0.01
    assert Image.open(tmp_path / "three.png").size == (3 * 30 + 2, 30 + 2)
    each = [np.array(Image.open(path).convert("L")) for path in sorted((tmp_path / "each").iterdir())]
    assert torch.equal(torch.tensor(np.stack(each)), pixels[:, 0])
    assert (drawn(tmp_path, "again", *words, "--batch-size", "2").int() - pixels.int()).abs().max() <= 1


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_sample_draws_with_a_checkpoint_of_train(tmp_path, sampler):
    """Its channels and the size of its pictures are in the file."""
    cli.main(options_for(write_photographs(tmp_path / "mine"), tmp_path / "run", channels=3))
    words = [
        "--checkpoint",
        str(tmp_path / "run" / "model.safetensors"),
        "--sampler",
        sampler,
        "--steps",
        "3",
        "-n",
        "2",
    ]
    assert drawn(tmp_path, sampler, *words).shape == (2, 3, 8, 8)


def test_evaluate_prints_what_a_distance_must_stand_with(tmp_path, capsys):
    """n, sampler, evaluations and floor; of pictures from a file, or drawn for it: the same figures."""
    words = ["-n", "12", "--steps", "2", "--precision", "float32"]
    drawn(tmp_path, "twelve", *words)
    cli.main(["evaluate", "--samples", str(tmp_path / "twelve.safetensors")])
    from_file = capsys.readouterr().out
    cli.main(["evaluate", "--device", "cpu", *words])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["n"], lines["sampler"], lines["evaluations"]) == ("12", "dpm_solver", "2")
    assert {f"frechet           {lines['frechet']}", f"floor             {lines['floor']}"} <= set(
        from_file.splitlines()
    )


def test_what_can_not_be_drawn_or_measured_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="^path: there is no file"):
        cli.main(["sample", "--checkpoint", str(tmp_path / "nothing.safetensors")])
    with pytest.raises(SystemExit, match="^steps must lie in 1..1000, got 2000"):
        cli.main(["sample", "--steps", "2000", "-n", "1"])
    with pytest.raises(SystemExit, match="^path: .* must be a samples of this library"):
        cli.main(["evaluate", "--samples", str(cli.data_folder() / "fashion-mnist.safetensors")])


def test_importing_the_library_does_not_import_jupyter():
    code = """
import sys, ddpm_lib.cli, ddpm_lib.viz
print([m for m in ("IPython", "ipykernel", "ipywidgets", "jupyterlab", "notebook", "diffusers") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr
