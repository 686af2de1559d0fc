"""Training: it learns, it averages, and it survives anything without losing a bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, seeded
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm_lib import training
from ddpm_lib.checkpoint import read_safetensors, write_safetensors
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import (
    EMA,
    MuonAdamW,
    TrainingState,
    best_precision,
    draw_batch,
    draw_indices,
    on_device,
    orthogonalised,
    resume,
    save_training_state,
    stratified_times,
    train,
    train_step,
)
from ddpm_lib.unet import UNet


def new_state(steps=6, seed=0, **settings):
    torch.manual_seed(seed)
    model = UNet(base_channels=8, channel_multipliers=(1, 2))
    return TrainingState(model, NoiseSchedule(linear_betas(1000)), steps, **{"batch_size": 8, "seed": seed} | settings)


def same(one, two):
    """Whether two runs hold the same bits: weights, average, optimiser, losses."""
    pairs = [(one.model.state_dict(), two.model.state_dict()), (one.ema.model.state_dict(), two.ema.model.state_dict())]
    moments = [
        [v for p in state.model.parameters() for _, v in sorted(state.optimizer.state[p].items())]
        for state in (one, two)
    ]
    return (
        all(torch.equal(a[name], b[name]) for a, b in pairs for name in a)
        and all(map(torch.equal, *moments))
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


@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"optimizer": "muon"}], ids=str)
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_resumed_run_continues_to_the_bit(tmp_path, garments, settings, stop):
    straight = train(new_state(**settings), garments, progress=False)
    halved = new_state(**settings)
    for _ in range(stop):
        train_step(halved, garments)
    save_training_state(tmp_path / "run.safetensors", halved)
    resumed = train(resume(tmp_path / "run.safetensors"), garments, progress=False)
    assert same(straight, resumed)


def test_what_a_step_draws_follows_from_the_seed_and_the_step_alone(garments):
    """Whoever jumps to step 5 draws what step 5 of the whole run draws; another step or seed draws something else."""
    walked, jumped = new_state(), new_state()
    for _ in range(5):
        train_step(walked, garments)
    jumped.step = 5
    assert all(map(torch.equal, draw_batch(walked, garments)[:3], draw_batch(jumped, garments)[:3]))
    drawn = {tuple(draw_indices({"seed": s, "batch_size": 8}, k, 1000)[0].tolist()) for s in (0, 1) for k in range(50)}
    assert len(drawn) == 100


class OnDisk:
    """Pictures that are read when they are asked for, by whatever process asks."""

    def __init__(self, images):
        self.images, self.read = images, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        self.read += len(indices)
        return self.images[indices].clone()


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_that_are_read_ahead_give_the_same_run(tmp_path, garments, workers):
    """Also where the run is stopped and goes on with other workers; the main process of a run with workers reads almost nothing."""
    straight, pictures = train(new_state(), garments, progress=False), OnDisk(garments)
    assert same(train(new_state(), pictures, progress=False, workers=workers), straight)
    assert workers == 0 or pictures.read <= 8
    halved = new_state()
    for _ in range(2):
        train_step(halved, pictures)
    save_training_state(tmp_path / "run.safetensors", halved)
    assert same(train(resume(tmp_path / "run.safetensors"), pictures, progress=False, workers=workers), straight)


CHILD = """
import sys, torch
sys.path[:0] = {paths!r}
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
    here = Path(__file__).parent
    code = CHILD.format(paths=[str(ROOT), str(here), str(here.parent)])
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


@pytest.mark.skipif(os.name == "nt", reason="on Windows these signals end a process at once")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_and_stop_between_two_steps(tmp_path, garments, kind):
    handler = signal.getsignal(kind)
    path = tmp_path / "run.safetensors"
    state = new_state(steps=30)

    def press(state):
        if state.step == 7:
            os.kill(os.getpid(), kind)

    with pytest.raises(KeyboardInterrupt):
        train(state, garments, path, progress=False, after_step=press)
    assert state.step < 30 and same(resume(path), state)
    assert same(train(resume(path), garments, progress=False), train(new_state(steps=30), garments, progress=False))
    assert signal.getsignal(kind) is handler


def test_the_state_before_the_last_is_kept_too(tmp_path, garments):
    path = tmp_path / "run.safetensors"
    train(new_state(steps=5), garments, path, save_every=2, progress=False)
    assert resume(path).step == 5 and resume(training.previous(path)).step == 4


def test_a_state_of_the_old_order_is_refused(tmp_path):
    """Before, batches came from one running generator; such a run could not go on to the same bits."""
    path = tmp_path / "run.safetensors"
    save_training_state(path, new_state())
    tensors, about = read_safetensors(path, "training state")
    del about["version"]
    write_safetensors(path, tensors, about)
    with pytest.raises(ValueError, match="^path: .*run.safetensors is a run of another version .*begin again"):
        resume(path)


def test_a_batch_does_not_depend_on_the_number_of_processes(garments, monkeypatch):
    """Two processes draw what one draws, and each reads only its half of the pictures."""

    def numbers(indices, generator):
        return indices  # what a network would be told: here, which picture it is

    whole, halves = draw_batch(new_state(), garments, numbers), []
    for rank in (0, 1):
        state, pictures = new_state(), OnDisk(garments)  # made alone: it would ask for the other process
        monkeypatch.setattr(training, "rank_and_world_size", lambda rank=rank: (rank, 2))
        halves.append(draw_batch(state, pictures, numbers))
        monkeypatch.undo()
        assert pictures.read == 4
    assert all(torch.equal(torch.cat(parts), all_of_it) for *parts, all_of_it in zip(*halves, whole, strict=True))


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


@pytest.mark.parametrize("shape", [(3, 40, 40), (2, 16, 300), (2, 300, 16)])
def test_orthogonalised_matrices_turn_and_hardly_stretch(shape):
    """The directions of the matrix stay (its singular vectors), and all its singular values come near 1, a hundredth of the largest too."""
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=seeded(0)), full_matrices=False)
    matrices = u * torch.logspace(-2, 0, u.shape[2]) @ v
    found = u.mT @ orthogonalised(matrices) @ v.mT  # (K, r, r), in the directions of the matrix
    stretched = found.diagonal(dim1=1, dim2=2)
    assert 0.65 < stretched.min() and stretched.max() < 1.25
    assert (found - torch.diag_embed(stretched)).abs().max() < 1e-3


@pytest.mark.parametrize("rows, columns", [(24, 24), (24, 60), (60, 24)])
def test_muon_moves_a_matrix_as_torch_does(rows, columns):
    """torch.optim.Muon takes matrices only, and multiplies them in bfloat16; so the directions agree to a hundredth."""
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    layer = torch.nn.Linear(columns, rows)
    theirs = torch.nn.Parameter(layer.weight.detach().clone())
    ours = MuonAdamW(layer, lr=2e-3)
    peer = torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.0, momentum=0.95, nesterov=True)
    for k in range(5):
        before = theirs.detach().clone()
        theirs.grad = torch.randn(rows, columns, generator=seeded(k))
        layer.weight.grad, layer.bias.grad = theirs.grad.clone(), torch.zeros(rows)
        peer.step()
        ours.step()
        assert (theirs - layer.weight).norm() < 0.02 * (theirs - before).norm() * (k + 1)


def test_muon_moves_what_lies_inside_and_adamw_the_rest():
    model = UNet(base_channels=8, channel_multipliers=(1, 2))
    optimizer = MuonAdamW(model)
    inside = {id(matrix) for matrix in optimizer.matrices}
    by_adamw = {name for name, weight in model.named_parameters() if id(weight) not in inside}
    assert {name for name, weight in model.named_parameters() if weight.ndim == 1} < by_adamw
    assert {name for name in by_adamw if name.startswith(("stem", "head")) and "weight" in name}
    assert all(name.startswith(("stem", "head")) for name in by_adamw if dict(model.named_parameters())[name].ndim > 1)


def test_a_batch_that_does_not_split_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(training, "rank_and_world_size", lambda: (0, 3))
    with pytest.raises(ValueError, match="^batch_size must be a multiple of the number of processes, 3, got 8"):
        new_state()


def test_the_mean_over_processes_needs_no_float64(monkeypatch):
    """Apple's GPUs have none. Here the other of two processes has the same numbers."""
    sent = []
    monkeypatch.setattr(training, "rank_and_world_size", lambda: (0, 2))
    monkeypatch.setattr(training.dist, "get_backend", lambda: "gloo")
    monkeypatch.setattr(training.dist, "all_reduce", lambda values: sent.append(values.mul_(2).dtype))
    assert training.mean_over_processes(True) == 1 and training.mean_over_processes(0.25) == 0.25
    assert training.mean_over_processes(torch.tensor([1.0, 3.0], dtype=torch.float64)) == [1, 3]
    assert set(sent) == {torch.float32}


class Reads(TorchFunctionMode):
    """Counts what brings values of float tensors from their device into Python: each is a wait for the device."""

    def __init__(self):
        self.count, self.inside = 0, Dispatched(self)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += (
            function in (torch.Tensor.tolist, torch.Tensor.cpu, torch.Tensor.numpy) and args[0].is_floating_point()
        )
        with self.inside:
            return function(*args, **(kwargs or {}))


class Dispatched(TorchDispatchMode):
    """Counts single values that are read, whoever asks for them (`.item()`, `if`, `float(...)`)."""

    def __init__(self, reads):
        super().__init__()
        self.reads = reads

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.reads.count += function is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point()
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_waits_for_the_device_once(garments, optimizer):
    """Loss and gradient norm come in one read. (The times are integers, and live on the CPU.)"""
    state = new_state(optimizer=optimizer)
    with Reads() as reads:
        train_step(state, garments)
        assert reads.count == 1
        state.losses.append(garments.sum().item())  # the counter counts
        assert reads.count == 2


@pytest.mark.parametrize(
    ("device", "last"), [("cuda", True), ("cuda:1", True), (torch.device("cuda"), True), ("cpu", False)]
)
def test_a_model_on_a_gpu_has_its_channels_last(device, last):
    """However the GPU is named."""

    class Moved(torch.nn.Conv2d):
        def to(self, *where, **how):
            asked.append(how.get("memory_format"))
            return self

    asked = []
    on_device(Moved(1, 1, 3), device)
    assert (torch.channels_last in asked) == last


def test_the_precision_is_asked_of_the_processor(monkeypatch):
    """No stopwatch: a run must follow from its seed, however busy the machine is."""
    for has, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(training, "cpu_has_bfloat16", lambda has=has: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, has=has: has)
        assert best_precision("cpu") == best_precision(torch.device("cuda:1")) == precision
    assert best_precision("mps") == "float32"
    monkeypatch.undo()
    assert training.cpu_has_bfloat16() in (True, False)


def test_looking_does_not_change_the_run(garments):
    def look(state):
        torch.randn(7), state.ema.model(garments[:1], 5)

    assert same(
        train(new_state(), garments, progress=False, after_step=look), train(new_state(), garments, progress=False)
    )


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


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"steps": 2.5},
        {"batch_size": 0},
        {"batch_size": True},
        {"precision": "float16"},
        {"seed": -1},
        {"optimizer": "sgd"},
    ],
)
def test_bad_training_settings_are_named(settings):
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} must"):
        new_state(**settings)


def test_numpy_integers_are_integers(tmp_path, garments):
    state = new_state(steps=np.int64(2), batch_size=np.int32(4), seed=np.int64(0), learning_rate=np.float32(1e-3))
    train(state, garments, tmp_path / "run.safetensors", progress=False)
    assert same(resume(tmp_path / "run.safetensors"), state)


@pytest.mark.parametrize("spoil", [lambda x: x.where(x < 0, torch.nan), lambda x: x[:0]])
def test_bad_training_images_are_refused(garments, spoil):
    for pictures in (spoil(garments), OnDisk(spoil(garments))):
        with pytest.raises(ValueError, match="^images must"):
            train(new_state(), pictures, progress=False)


def test_pictures_in_another_range_are_warned_of(garments):
    with pytest.warns(UserWarning, match=r"^images lie in 0..255 and not in \[-1, 1\]"):
        train(new_state(steps=1), (garments + 1) * 127.5, progress=False)
