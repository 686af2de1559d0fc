# Exported from notebooks/07_training.ipynb: edit the notebook, not this file.
"""A real run: the averaged weights, checkpoints, and resuming as if nothing had happened."""

import copy
import json
import math
import shutil
import signal
from collections import defaultdict
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import count
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from ddpm_lib.checkpoint import build_network, describe_network, prefixed, read_safetensors, unprefixed, write_safetensors
from ddpm_lib.loss import check_training_images, noise_prediction_loss
from ddpm_lib.schedule import NoiseSchedule


def best_device():
    """The device to work on: "cuda", "mps" or "cpu", the first there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def cpu_has_bfloat16():
    """Whether this CPU has instructions for bfloat16 (AVX512_BF16, AMX or Arm's BF16), and torch the library that uses them."""
    if not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    known = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(map(known.get, ("avx512_bf16", "amx_bf16", "bf16")))


def best_precision(device):
    """The precision to work in: "bfloat16" where the processor behind `device` has instructions for it, else "float32".

    It is asked of the processor, not of a stopwatch, so that a seed gives the same run however busy the machine is.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if kind == "cpu" and cpu_has_bfloat16() else "float32"


def on_device(model, device):
    """The model on that device, in the memory layout that its convolutions like."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if torch.device(device).type == "cuda" else model


class EMA:
    """A running average of a model's weights; sample with `ema.model`.

    The average reaches back over a fixed share of the run so far (the power function of Karras et al. 2024, EDM2): update k
    keeps (1 - 1/k)^(gamma + 1) of the old average. gamma = 6.94 gives a window about a tenth of the run wide.
    """

    def __init__(self, model, gamma=6.94):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.gamma, self.updates = gamma, 0

    @torch.no_grad()
    def update(self, model):
        """Take the weights of `model` into the average."""
        self.updates += 1
        kept = (1 - 1 / self.updates) ** (self.gamma + 1)
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current, 1 - kept)


class TrainingState:
    """Everything that a run needs to go on as if nothing had happened.

    `model` is trained for `steps` steps of `batch_size` images with the `optimizer` "adamw" or "muon" (`MuonAdamW`); the learning
    rate warms up to `learning_rate` and falls to 0 along a cosine. `precision` is "float32" or "bfloat16" (autocast). What a step
    draws follows from `seed` and the step's number alone. `network` is what a step calls: the model, or its wrapper among several processes.
    Raises ValueError for other settings, or where the processes cannot share a batch evenly.
    """

    def __init__(
        self, model, schedule, steps, batch_size=32, learning_rate=2e-3, precision="float32", seed=0, optimizer="adamw"
    ):
        if optimizer not in ("adamw", "muon"):
            raise ValueError(f"optimizer must be 'adamw' or 'muon', got {optimizer!r}")
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        for name, number, least in (("steps", steps, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
            if not isinstance(number, Integral) or isinstance(number, bool) or number < least:
                raise ValueError(f"{name} must be an integer of at least {least}, got {number!r}")
        _, processes = rank_and_world_size()
        if batch_size % processes:
            raise ValueError(f"batch_size must be a multiple of the number of processes, {processes}, got {batch_size}")
        self.model, self.schedule, self.ema = model, schedule, EMA(model)
        self.network = DistributedDataParallel(model) if processes > 1 else model
        self.settings = dict(steps=int(steps), batch_size=int(batch_size), learning_rate=float(learning_rate))
        self.settings |= dict(precision=precision, seed=int(seed), optimizer=optimizer)
        muon = optimizer == "muon"
        self.optimizer = MuonAdamW(model, learning_rate) if muon else torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)
        self.step, self.losses = 0, []


def learning_rate_factor(step, steps):
    """The share of the learning rate to use at `step`, in 0..steps - 1: a linear warm-up times half a cosine down to 0, both from step 0 on."""
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def rank_and_world_size():
    """Which of the processes that share this run is this one, from 0 on, and how many they are; `(0, 1)` alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def own_slice(batch_size):
    """The part of a batch that belongs to this process."""
    rank, processes = rank_and_world_size()
    return slice(rank * batch_size // processes, (rank + 1) * batch_size // processes)


def mean_over_processes(values):
    """The mean over all processes of a number, or of each value in a tensor: floats, the same in every process. All must call it."""
    values, (_, processes) = torch.as_tensor(values, dtype=torch.float32), rank_and_world_size()
    if processes > 1:
        values = values.to("cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(values)
        values = values / processes
    return values.tolist()


def draw_indices(settings, step, count):
    """Which of `count` images a batch holds, int64, and the generator that drew them, for the step's times and noise.

    The generator is made of the run's seed and the step's number, and of nothing else.
    """
    (seed,) = np.random.SeedSequence((settings["seed"], step)).generate_state(1)
    generator = torch.Generator().manual_seed(int(seed))
    indices = torch.randint(count, (settings["batch_size"],), generator=generator)
    return indices, generator


def stratified_times(count, T, generator=None):
    """`count` times in 1..T, int64 `(count,)`, rising: one from each of `count` equal slices of 1..T; over many batches all t are equally frequent."""
    within = torch.rand(count, dtype=torch.float64, generator=generator)
    return 1 + ((torch.arange(count) + within) * T / count).long().clamp(max=T - 1)


def draw_batch(state, images, labels=None):
    """Lines 2 to 4 of Algorithm 1, drawn for the whole batch: this process's slice of `(x_0, t, noise, told)`, `t` on the CPU.

    `told` is that of `labels(indices, generator)`, see `train`, or None.
    """
    size, device = state.settings["batch_size"], next(state.model.parameters()).device
    indices, generator = draw_indices(state.settings, state.step, len(images))
    own = own_slice(size)
    x_0 = images[indices[own]]
    t = stratified_times(size, state.schedule.T, generator)
    noise = torch.randn((size, *x_0.shape[1:]), generator=generator)
    told = None if labels is None else labels(indices, generator)[own].to(device)
    return x_0.to(device), t[own], noise[own].to(device), told


def mixed_precision(model, precision):
    """A context in which `model` is called in that precision, "float32" or "bfloat16"."""
    device = next(model.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def train_step(state, images, labels=None):
    """One step of Algorithm 1 on a random batch of `images`, which `train` describes; returns the loss, a float.

    Raises FloatingPointError, before it changes a weight, where the loss or its gradient is not finite.
    """
    model, settings = state.model.train(), state.settings
    x_0, t, noise, told = draw_batch(state, images, labels)
    network = state.network if told is None else partial(state.network, labels=told)
    with mixed_precision(model, settings["precision"]):
        loss = noise_prediction_loss(network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    loss, norm = mean_over_processes(torch.stack([loss.detach(), norm]))  # here, and only here, we wait for the device
    for name, value in (("loss", loss), ("gradient", norm)):
        if not math.isfinite(value):
            raise FloatingPointError(f"the {name} became {value} at step {state.step + 1}: try a lower learning rate")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss)
    return loss


@contextmanager
def held_interrupts():
    """Hold back Ctrl-C and SIGTERM: inside, `interrupted()` says whether one of them came, so that a step is never cut in two."""
    came, before = [], {}
    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, lambda *_: came.append(True))
    except ValueError:  # not in the main thread, where no signal arrives
        pass
    try:
        yield lambda: bool(came)
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler or signal.SIG_DFL)


def previous(path):
    """Where the file that was at `path` before the present one is kept: `.previous` before the ending."""
    return Path(path).with_name(f"{Path(path).stem}.previous{Path(path).suffix}")


def save_over(path, state):
    """Save `state` at `path`, with a copy of the file that was there before at `previous(path)`."""
    if Path(path).exists():
        shutil.copyfile(path, previous(path))
    save_training_state(path, state)


def image_bar(state, shown):
    """The progress bar of a run, in images."""
    batch = state.settings["batch_size"]
    total, done = state.settings["steps"] * batch, state.step * batch
    return tqdm(total=total, initial=done, desc="training", unit=" images", disable=not shown)


STATE_VERSION = "2"  # of version 1 were the states whose steps drew from one running generator


def save_training_state(path, state):
    """Save a run so that `resume(path)` goes on with it to the same bits: weights, average, optimiser, step, settings, losses."""
    tensors = prefixed("model", state.model.state_dict()) | prefixed("ema", state.ema.model.state_dict())
    for name, parameter in state.model.named_parameters():
        tensors |= prefixed(f"optimizer.{name}", state.optimizer.state[parameter])
    tensors |= {"betas": state.schedule.betas[1:], "losses": torch.tensor(state.losses, dtype=torch.float64)}
    about = {"settings": state.settings, "step": state.step, "gamma": state.ema.gamma}
    metadata = {"kind": "training state", "version": STATE_VERSION} | describe_network(state.model)
    write_safetensors(path, tensors, metadata | {key: json.dumps(value) for key, value in about.items()})


def resume(path, device="cpu"):
    """The `TrainingState` that `save_training_state` wrote, ready for the next step. Errors as in `read_safetensors`."""
    tensors, metadata = read_safetensors(path, "training state")
    if metadata.get("version") != STATE_VERSION:
        raise ValueError(
            f"path: {path} is a run of another version of this library, whose steps drew other batches, and can't go on here "
            "to the same bits: end it with that version, or begin again"
        )
    model = on_device(build_network(path, metadata, unprefixed("model", tensors)), device)
    state = TrainingState(model, NoiseSchedule(tensors["betas"]), **json.loads(metadata["settings"]))
    state.ema.model.load_state_dict(unprefixed("ema", tensors))
    state.ema.gamma, state.ema.updates = json.loads(metadata["gamma"]), json.loads(metadata["step"])
    state.step, state.losses = json.loads(metadata["step"]), tensors["losses"].tolist()
    for name, parameter in model.named_parameters():
        saved = unprefixed(f"optimizer.{name}", tensors)  # two means in the layout of the weights, and a count
        state.optimizer.state[parameter] = {
            key: torch.empty_like(parameter).copy_(value) if value.ndim else value.to(device)
            for key, value in saved.items()
        }
    return state


def check_training_labels(labels, count, model):
    """Check once, before training, what `labels` says of all `count` pictures: raise ValueError where `model` knows no such class."""
    told, settings = labels(torch.arange(count), torch.Generator()), getattr(model, "settings", None)
    if not torch.is_tensor(told) or told.shape != (count,) or told.is_floating_point():
        raise ValueError(f"labels must return a tensor of integers, one for each of {count} pictures")
    if settings is None:  # a network of the reader's own
        return
    if "classes" not in settings:
        raise ValueError(f"labels are given, and the model, a {type(model).__name__}, can't be told a class")
    classes = settings["classes"]
    if told.min() < -1 or told.max() >= classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, or be -1 for no class, got {told.min()}..{told.max()}")


def train(state, images, path=None, save_every=500, progress=True, after_step=None, workers=0, labels=None):
    """Run `state` (new, or from `resume`) to its last step; returns it.

    `images` is a tensor `(N, C, H, W)` in [-1, 1], or anything with a length that returns such a tensor for int64 indices,
    as `FolderDataset` does; `workers` processes then read ahead, which changes no bit of the run.
    With `path` the state is saved there every `save_every` steps, at the end and on Ctrl-C or SIGTERM, which end the run with
    KeyboardInterrupt between two steps. `after_step(state)` is called after every step, by every process; it may change the number of steps.
    `labels(indices, generator)`, where it is given, says what the network, a `ClassUNet` (notebook 11), is told about the pictures with
    these numbers: integers, one a picture, -1 for nothing. They are not in the saved state: whoever resumes gives them again.
    Raises ValueError for other images or labels, FloatingPointError as `train_step`, OSError where the state cannot be written.
    """
    check_training_images(images if torch.is_tensor(images) else images[torch.arange(min(len(images), 8))])
    if labels is not None:
        check_training_labels(labels, len(images), state.model)
    settings, first = state.settings, rank_and_world_size()[0] == 0
    source, stop = Prefetched(images, state, workers) if workers else nullcontext(images), False
    with held_interrupts() as interrupted, image_bar(state, progress and first) as bar, source as images:
        while state.step < settings["steps"] and not stop:
            train_step(state, images, labels)
            recent = state.losses[-100:]
            bar.set_postfix_str(f"step {state.step}, loss {sum(recent) / len(recent):.4f}", False)
            bar.update(settings["batch_size"])
            if after_step:
                after_step(state)
                bar.total = settings["steps"] * settings["batch_size"]
            stop = mean_over_processes(interrupted()) > 0  # asked once, so that a run that stops has been saved
            if path and first and (stop or state.step % save_every == 0 or state.step == settings["steps"]):
                save_over(path, state)
    if state.step < settings["steps"]:
        raise KeyboardInterrupt(f"stopped after step {state.step} of {settings['steps']}")
    return state


def ignore_interrupts(_):
    """For a worker process, which ends with the run that it reads for and not by a signal of its own."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)


class Prefetched:
    """`images` for the steps of a run that are left: `workers` processes read their batches ahead. Indexed step by step, in the run's order.

    A context manager, for the workers must be ended.
    """

    def __init__(self, images, state, workers):
        self.count, steps = len(images), count(state.step)  # without an end: the run says when it is over
        own = own_slice(state.settings["batch_size"])
        batches = (draw_indices(state.settings, step, self.count)[0][own] for step in steps)  # one index of a loader is one batch
        options = dict(sampler=batches, batch_size=None, num_workers=workers, worker_init_fn=ignore_interrupts)
        self.loaded = iter(DataLoader(images, **options))

    def __len__(self):
        return self.count

    def __getitem__(self, indices):
        return next(self.loaded)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        del self.loaded  # this ends the workers


def orthogonalised(matrices, iterations=5):
    """Each of the matrices `(K, rows, columns)` with all its singular values brought near 1 (0.7 to 1.2): Newton-Schulz."""
    wide = matrices.float() if matrices.shape[1] <= matrices.shape[2] else matrices.float().mT  # (K, r, c), r <= c
    wide = wide / (wide.norm(dim=(1, 2), keepdim=True) + 1e-7)  # no singular value above 1
    gram, one = wide @ wide.mT, torch.eye(wide.shape[1], device=wide.device)  # (K, r, r) is all that the iteration needs
    factor = one
    for _ in range(iterations):
        bend = 3.4445 * one - 4.7750 * gram + 2.0315 * gram @ gram
        factor, gram = bend @ factor, bend @ gram @ bend
    wide = factor @ wide
    return wide if matrices.shape[1] <= matrices.shape[2] else wide.mT


def inner_matrices(model):
    """The weights of two and more dimensions inside a network: all but those of its `stem`, its `head` and its tables (`nn.Embedding`)."""
    tables = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
    named = [(name.split(".")[0], weight) for name, weight in model.named_parameters()]
    return [w for name, w in named if w.ndim > 1 and name not in ("stem", "head") and id(w) not in tables]


class MuonAdamW(torch.optim.AdamW):
    """Muon for the matrices inside `model`, at five times the learning rate `lr`; AdamW for its stem, its head and all vectors.

    Muon (Jordan et al. 2024): the mean of the gradients, with Nesterov's look ahead, moves a matrix by equal amounts in all its directions.
    """

    def __init__(self, model, lr=2e-3, momentum=0.95):
        self.matrices, self.momentum = inner_matrices(model), momentum
        inner = {id(matrix) for matrix in self.matrices}
        super().__init__([weight for weight in model.parameters() if id(weight) not in inner], lr=lr, fused=True)
        for matrix in self.matrices:
            self.state[matrix]["momentum"] = torch.zeros_like(matrix)

    def zero_grad(self, set_to_none=True):
        super().zero_grad(set_to_none)
        for matrix in self.matrices:
            matrix.grad = None

    @torch.no_grad()
    def step(self):
        super().step()
        same_shape = defaultdict(list)  # they are orthogonalised together
        for matrix in self.matrices:
            same_shape[matrix.flatten(1).shape].append(matrix)  # a convolution's (out, in, 3, 3) is (out, in * 9)
        for (rows, columns), matrices in same_shape.items():
            ahead = torch.stack([self.look_ahead(matrix).flatten(1) for matrix in matrices])  # (K, rows, columns)
            rate = 5 * self.param_groups[0]["lr"] * max(1, rows / columns) ** 0.5
            for matrix, direction in zip(matrices, orthogonalised(ahead), strict=True):
                matrix.sub_(rate * direction.view_as(matrix))

    def look_ahead(self, matrix):
        """Take the gradient into the matrix's running mean; the gradient, moved most of the way to that mean."""
        mean = self.state[matrix]["momentum"]
        mean.lerp_(matrix.grad, 1 - self.momentum)
        return matrix.grad.lerp(mean, self.momentum)
