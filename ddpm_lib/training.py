# Exported from notebooks/07_training.ipynb: edit the notebook, not this file.
"""A real run: the averaged weights, checkpoints, resuming as if nothing had happened, and the command line."""

import argparse
import copy
import json
import math
import os
import shutil
import signal
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ddpm_lib.data import DATASETS, data_folder, load_images
from ddpm_lib.loss import check_training_images, noise_prediction_loss
from ddpm_lib.sampling import sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.unet import UNet


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

    `model` (a UNet) is trained for `steps` steps of `batch_size` images with AdamW; the learning rate warms up to
    `learning_rate` and falls to 0 along a cosine. `precision` is "float32" or "bfloat16" (autocast). Batches, times and noise
    come from one generator with `seed`. `network` is what a step calls: the model, or its wrapper among several processes.
    Raises ValueError for other settings, or where the processes cannot share a batch evenly.
    """

    def __init__(self, model, schedule, steps, batch_size=32, learning_rate=2e-3, precision="float32", seed=0):
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        if not all(isinstance(count, int) and count >= 1 for count in (steps, batch_size)):
            raise ValueError(f"steps and batch_size must be integers of at least 1, got {steps} and {batch_size}")
        _, count = place()
        if batch_size % count:
            raise ValueError(f"batch_size must be a multiple of the number of processes, {count}, got {batch_size}")
        self.model, self.schedule, self.ema = model, schedule, EMA(model)
        self.network = DistributedDataParallel(model) if count > 1 else model
        self.settings = dict(steps=steps, batch_size=batch_size, learning_rate=learning_rate)
        self.settings |= dict(precision=precision, seed=seed)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, fused=True)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.losses = 0, []


def learning_rate_factor(step, steps):
    """The share of the learning rate to use at `step`, in 0..steps - 1: a linear warm-up times half a cosine down to 0, both from step 0 on."""
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def place():
    """`(rank, count)`: which of the processes that share this run is this one, and how many they are; (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def mean_over_processes(number):
    """The mean of a number over all processes, the same float in each of them. All must call it."""
    _, count = place()
    if count == 1:
        return float(number)
    total = torch.tensor(float(number), dtype=torch.float64, device=best_device())
    dist.all_reduce(total)
    return total.item() / count


def stratified_times(count, T, generator=None):
    """`count` times in 1..T, int64 `(count,)`, rising: one from each of `count` equal slices of 1..T; over many batches all t are equally frequent."""
    within = torch.rand(count, dtype=torch.float64, generator=generator)
    return 1 + ((torch.arange(count) + within) * T / count).long().clamp(max=T - 1)


def draw_batch(state, images):
    """Lines 2 to 4 of Algorithm 1, drawn for the whole batch: this process's slice of `(x_0, t, noise)`, `t` on the CPU."""
    count, generator = state.settings["batch_size"], state.generator
    x_0 = images[torch.randint(len(images), (count,), generator=generator)]
    t = stratified_times(count, state.schedule.T, generator)
    noise = torch.randn(x_0.shape, generator=generator)
    rank, processes = place()
    mine = slice(rank * count // processes, (rank + 1) * count // processes)
    device = next(state.model.parameters()).device
    return x_0[mine].to(device), t[mine], noise[mine].to(device)


def mixed_precision(state):
    """A context in which the model of `state` is called in the precision of its settings."""
    device = next(state.model.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=state.settings["precision"] == "bfloat16")


def train_step(state, images):
    """One step of Algorithm 1 on a random batch of `images` `(N, C, H, W)` in [-1, 1]; returns the loss, a float.

    Raises FloatingPointError, before it changes a weight, where the loss or its gradient is not finite.
    """
    model, settings = state.model.train(), state.settings
    x_0, t, noise = draw_batch(state, images)
    with mixed_precision(state):
        loss = noise_prediction_loss(state.network, x_0, state.schedule, t, noise)
    state.optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
    loss = mean_over_processes(loss.item())
    for name, value in (("loss", loss), ("gradient", length)):
        if not math.isfinite(value):
            raise FloatingPointError(f"the {name} became {value} at step {state.step + 1}: try a lower learning rate")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss)
    return loss


def checksum(tensors):
    """CRC-32 of the bytes of all tensors, in the order of their names, as a string."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy(), crc)
    return str(crc)


def write_safetensors(path, tensors, metadata):
    """Write a safetensors file whole or not at all: a temporary file beside it, flushed to disk, then renamed over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with open(temporary, "wb") as file:
            file.write(save(tensors, metadata | {"checksum": checksum(tensors)}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_safetensors(path, kind):
    """Read `(tensors, metadata)` of a file that `write_safetensors` wrote with metadata["kind"] == kind.

    Raises FileNotFoundError, or ValueError where the file is empty, corrupt, pickled or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"path: {path} is no whole safetensors file (empty, corrupt, or pickled, which is never loaded): {error}"
        ) from error
    if metadata.get("kind") != kind:
        raise ValueError(f"path: {path} must be a {kind} of this library, got kind {metadata.get('kind')!r}")
    if "checksum" in metadata and metadata["checksum"] != checksum(tensors):
        raise ValueError(f"path: {path} is corrupt: its numbers are not the ones that were written")
    return tensors, metadata


def prefixed(prefix, tensors):
    """The same tensors under names that start with `prefix` and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix, tensors):
    """Those tensors whose names start with `prefix` and a dot, without it: undoes `prefixed`."""
    return {
        name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }


def build_unet(path, settings, weights):
    """A UNet with those settings (JSON) and weights; ValueError, naming `path`, where they do not fit each other."""
    try:
        model = UNet(**json.loads(settings))
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"path: the weights and settings in {path} do not make a UNet: {error}") from error
    return model


def save_checkpoint(path, model, schedule, notes=None):
    """Save a UNet and its schedule as one safetensors file; `notes` (a dict of strings) goes into its metadata."""
    tensors = prefixed("model", model.state_dict()) | {"betas": schedule.betas[1:]}
    write_safetensors(path, tensors, (notes or {}) | {"kind": "checkpoint", "model": json.dumps(model.settings)})


def load_checkpoint(path):
    """Load `(model, schedule)` from `save_checkpoint`'s file: on the CPU, in evaluation mode. Errors as in `read_safetensors`."""
    tensors, metadata = read_safetensors(path, "checkpoint")
    model = build_unet(path, metadata.get("model", ""), unprefixed("model", tensors))
    return model.eval(), NoiseSchedule(tensors["betas"])


def load_pretrained(name="fashion-mnist"):
    """The model that ships in `data/`, with its schedule: averaged (EMA) weights, on the CPU, in evaluation mode."""
    if name != "fashion-mnist":
        raise ValueError(f"name must be 'fashion-mnist', got {name!r}")
    return load_checkpoint(data_folder() / f"{name}.safetensors")


def on_device(model, device):
    """The model on that device, in the memory layout that its convolutions like."""
    model = model.to(device)
    return model.to(memory_format=torch.channels_last) if device == "cuda" else model


def save_training_state(path, state):
    """Save a run so that `resume(path)` goes on with it to the same bits: weights, average, optimiser, generator, losses."""
    tensors = prefixed("model", state.model.state_dict()) | prefixed("ema", state.ema.model.state_dict())
    for name, parameter in state.model.named_parameters():
        tensors |= prefixed(f"optimizer.{name}", state.optimizer.state[parameter])
    tensors |= {"betas": state.schedule.betas[1:], "generator": state.generator.get_state()}
    tensors["losses"] = torch.tensor(state.losses, dtype=torch.float64)
    metadata = {"model": state.model.settings, "settings": state.settings, "step": state.step, "gamma": state.ema.gamma}
    write_safetensors(
        path, tensors, {"kind": "training state"} | {key: json.dumps(value) for key, value in metadata.items()}
    )


def resume(path, device="cpu"):
    """The `TrainingState` that `save_training_state` wrote, ready for the next step. Errors as in `read_safetensors`."""
    tensors, metadata = read_safetensors(path, "training state")
    model = on_device(build_unet(path, metadata.get("model", ""), unprefixed("model", tensors)), device)
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
    state.generator.set_state(tensors["generator"])
    return state


@contextmanager
def held_interrupts():
    """Hold back Ctrl-C: inside, `interrupted()` says whether it was pressed, so that a step is never cut in two."""
    pressed = []
    try:
        previous = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    except ValueError:  # not in the main thread, where no Ctrl-C arrives
        previous = None
    try:
        yield lambda: bool(pressed)
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


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


def train(state, images, path=None, save_every=500, progress=True, after_step=None):
    """Run `state` (new, or from `resume`) to its last step on `images` `(N, C, H, W)` in [-1, 1]; returns it.

    With `path` the state is saved there every `save_every` steps, at the end and on Ctrl-C, which ends the run with
    KeyboardInterrupt between two steps. `after_step(state)` is called after every step, by the first process.
    Raises ValueError for other images, FloatingPointError as `train_step`, OSError where the state cannot be written.
    """
    check_training_images(images)
    steps, first = state.settings["steps"], place()[0] == 0
    with held_interrupts() as interrupted, image_bar(state, progress and first) as bar:
        stop = False
        while state.step < steps and not stop:
            train_step(state, images)
            recent = state.losses[-100:]
            bar.set_postfix_str(f"step {state.step}, loss {sum(recent) / len(recent):.4f}", False)
            bar.update(state.settings["batch_size"])
            if after_step and first:
                after_step(state)
            stop = mean_over_processes(interrupted()) > 0  # asked once, so that a run that stops has been saved
            if path and first and (stop or state.step % save_every == 0 or state.step == steps):
                save_over(path, state)
    if state.step < steps:
        raise KeyboardInterrupt(f"stopped after step {state.step} of {steps}")
    return state


def seconds_per_step(model, schedule, images, batch_size, precision, steps=10):
    """Time `steps` training steps of `model`, or a second of them, after two that do not count; returns seconds a step.

    The weights are put back as they were.
    """
    before = copy.deepcopy(model.state_dict())
    state = TrainingState(model, schedule, steps + 2, batch_size, precision=precision)
    for _ in range(2):
        train_step(state, images)  # ends with numbers on the CPU, for which it waits for the device
    start, timed, seconds = time.perf_counter(), 0, 0
    while timed < steps and seconds < 1:
        train_step(state, images)
        timed, seconds = timed + 1, mean_over_processes(time.perf_counter() - start)
    model.load_state_dict(before)
    return seconds / timed


def choose_precision(model, schedule, images, batch_size, choices=("float32", "bfloat16")):
    """The fastest of `choices` on this machine, and its seconds per step, as measured."""
    if next(model.parameters()).is_cuda and not torch.cuda.is_bf16_supported():
        choices = ("float32",)
    times = {name: seconds_per_step(model, schedule, images, batch_size, name) for name in choices}
    fastest = min(times, key=times.get)
    return fastest, times[fastest]


def load_folder(path, image_size=28, channels=1):
    """Anyone's own pictures: a folder with a sub-folder for each class (torchvision's `ImageFolder`), as `(images, labels)`.

    The pictures are scaled and cropped to squares: images float32 `(N, channels, image_size, image_size)` in [-1, 1].
    Raises FileNotFoundError where there are no such sub-folders, ValueError for other `channels` and for a broken picture.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    from torchvision import datasets, transforms

    steps = [transforms.Resize(image_size), transforms.CenterCrop(image_size), transforms.ToTensor()]
    grey = [transforms.Grayscale()] if channels == 1 else []
    try:
        folder = datasets.ImageFolder(str(path), transforms.Compose(grey + steps))
    except FileNotFoundError as error:
        expected = "must be a folder with pictures in sub-folders, one a class"
        raise FileNotFoundError(f"path: {path} {expected}: {error}") from error
    images = []
    for k, (file, _) in enumerate(folder.samples):
        try:
            images.append(folder[k][0])
        except (OSError, SyntaxError) as error:
            raise ValueError(f"path: {file} is no whole picture: {error}") from error
    return torch.stack(images) * 2 - 1, torch.tensor(folder.targets)


class ShortChain(torch.nn.Module):
    """`model` on a chain of `steps` of its schedule's T times, evenly spaced; called with k in 1..steps, sampled with its own `.schedule`."""

    def __init__(self, model, schedule, steps):
        super().__init__()
        self.model = model
        self.times = (
            torch.linspace(0, schedule.T, steps + 1, dtype=torch.float64).round().long()
        )  # t_0 = 0, ..., t_steps = T
        kept = schedule.alpha_bars[self.times]
        self.schedule = NoiseSchedule(1 - kept[1:] / kept[:-1])

    def forward(self, x_t, k):
        return self.model(x_t, self.times[k])


def draw_quickly(state, shape, steps=50, seed=0):
    """Pictures of that shape by the averaged weights in `steps` steps, always from the same noise; on the CPU."""
    chain = ShortChain(state.ema.model, state.schedule, min(steps, state.schedule.T))
    with mixed_precision(state):
        return sample(chain, chain.schedule, shape, torch.Generator().manual_seed(seed), progress=False).float().cpu()


def best_device():
    """The device to train on: "cuda", "mps" or "cpu", the first there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def keep_near(images, device):
    """The images on the GPU, where they take at most a quarter of its free memory; else where they are."""
    if device == "cuda" and images.nbytes <= torch.cuda.mem_get_info()[0] / 4:
        return images.to(device)
    return images


HALVINGS = 2  # of the pictures' sides, by the default UNet


def positive(kind):
    """For argparse: the function that reads a positive finite number of that kind (`int` or `float`)."""

    def read(text):
        if not 0 < kind(text) < math.inf:
            raise argparse.ArgumentTypeError(f"must be positive, got {text}")
        return kind(text)

    read.__name__ = kind.__name__  # for argparse's own message about what is no number
    return read


def image_side(text):
    """For argparse: a side of square pictures that the default UNet can halve."""
    side, unit = positive(int)(text), 2**HALVINGS
    if side % unit:
        near = f"{side // unit * unit} or {side // unit * unit + unit}" if side > unit else str(unit)
        raise argparse.ArgumentTypeError(
            f"must be a multiple of {unit}, for the UNet halves it {HALVINGS} times: {near}, not {side}"
        )
    return side


def options_parser():
    """The options of `python -m ddpm_lib.training`."""
    about = "Train a UNet to predict noise; goes on with the run in --out if there is one."
    parser = argparse.ArgumentParser(prog="python -m ddpm_lib.training", description=about)
    add, default, names = parser.add_argument, "(default: %(default)s)", ", ".join(DATASETS)
    add("--data", default="fashion-mnist", help=f"{names}, or a folder with pictures in sub-folders {default}")
    add("--image-size", type=image_side, help="for a folder: the side of the square pictures (default: 28)")
    add("--channels", type=int, choices=(1, 3), help="for a folder: 1 is grey, 3 is RGB (default: 1)")
    add("--minutes", type=positive(float), default=10, help=f"time to train, turned into steps at the start {default}")
    add("--images", type=positive(int), help="train on this many images, instead of for --minutes")
    add("--batch-size", type=positive(int), default=32, help=f"images a step, over all processes {default}")
    add("--learning-rate", type=positive(float), default=2e-3, help=f"the highest one of the run {default}")
    add("--precision", choices=("float32", "bfloat16"), help="(default: the faster one, as measured)")
    add("--compile", action="store_true", help="compile the network first, which takes a while; for a GPU")
    add("--seed", type=int, default=0, help=f"of the first weights, the batches and the noise {default}")
    add("--save-every", type=positive(int), default=500, help=f"steps between two saves {default}")
    add("--out", type=Path, help="folder for the run (default: runs/ and the name of the data)")
    return parser


def parse_arguments(arguments=None):
    """The command line, read: options that do not go together are refused, and the clock starts."""
    parser = options_parser()
    options = parser.parse_args(arguments)
    if options.data in DATASETS and (options.image_size or options.channels):
        parser.error(f"--image-size and --channels are for a folder of pictures, and --data is {options.data}")
    options.start = time.perf_counter()  # from here on the minutes count
    options.out = options.out or Path("runs") / Path(options.data).resolve().name
    return options


PICTURES = 0.05  # the share of a run's time that is set aside for drawing


def start_training(images, options):
    """A new run of the default UNet on `images`, as the `options` of the command line say.

    A budget in minutes is turned into a number of steps here, once.
    """
    torch.manual_seed(options.seed)
    model, schedule = on_device(UNet(image_channels=images.shape[1]), best_device()), NoiseSchedule(linear_betas(1000))
    if options.compile:
        model.compile()
    choices = (options.precision,) if options.precision else ("float32", "bfloat16")
    precision, seconds = choose_precision(model, schedule, images, options.batch_size, choices)
    time_left = mean_over_processes(options.minutes * 60 - (time.perf_counter() - options.start)) * (1 - PICTURES)
    steps = options.images // options.batch_size if options.images else int(time_left / seconds)
    return TrainingState(
        model, schedule, max(1, steps), options.batch_size, options.learning_rate, precision, options.seed
    )


def steps_between_looks(steps, batch_size, calls=16 * 50):
    """A fifth of the run, or more where `calls` of the network would take more than `PICTURES` of the time in between."""
    return max(math.ceil(steps / 5), math.ceil(calls / PICTURES / (3 * batch_size)))


def take_a_look(state, folder, image_shape):
    """Write the averaged model, and a grid of pictures that it draws, into `folder`; returns the grid's path."""
    from torchvision.utils import save_image

    save_checkpoint(folder / "model.safetensors", state.ema.model, state.schedule)
    grid = folder / f"samples-{state.step:06d}.png"
    save_image((draw_quickly(state, (16, *image_shape)) + 1) / 2, grid, nrow=8)
    return grid


@contextmanager
def ending(advice, *errors):
    """Turn these errors into the end of the program, with their message and some advice."""
    try:
        yield
    except errors as error:
        raise SystemExit(f"{error}\n{advice}".strip()) from None


@contextmanager
def joined_processes():
    """Join the processes that torchrun started, one a GPU where there are GPUs. Without torchrun there is nothing to join."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    yield  # after an error the process just ends, and torchrun ends the others
    dist.destroy_process_group()


def open_pictures(options):
    """The images that --data names. The first process opens them first, in case they must be downloaded or unpacked."""
    rank, count = place()
    if rank > 0:
        dist.barrier()
    advice = f"--data must be {', '.join(DATASETS)}, or a folder with pictures in sub-folders."
    with ending(advice, OSError, RuntimeError, ValueError):
        if options.data in DATASETS:
            images, _ = load_images(options.data)
        else:
            images, _ = load_folder(options.data, options.image_size or 28, options.channels or 1)
    if rank == 0 and count > 1:
        dist.barrier()
    return keep_near(images, best_device())


def open_run(options, images, path):
    """The run that is saved at `path`, or else a new one."""
    if not path.exists():
        with ending("", ValueError):
            return start_training(images, options)
    advice = f"Delete {path} to begin again, or choose another --out."
    if previous(path).exists():
        advice = f"Put {previous(path)}, the state before it, in its place, or delete {path} to begin again."
    with ending(advice, ValueError):
        state = resume(path, best_device())
        channels = state.model.settings["image_channels"]
        if channels != images.shape[1]:
            raise ValueError(f"{path} was trained on {channels} channel(s), and --data has {images.shape[1]}")
    if options.compile:
        state.model.compile()
    return state


def run(options, path):
    """Train as the options say, with the state in `path`, and a look now and then."""
    images = open_pictures(options)
    state = open_run(options, images, path)
    steps, first = state.settings["steps"], place()[0] == 0
    every = steps_between_looks(steps, state.settings["batch_size"])
    if first and state.step:
        print(
            f"going on with {path} after step {state.step} of {steps}, with its own settings; --out starts another run"
        )
    if first:
        for left_behind in options.out.glob("*.tmp"):  # by a process that was killed
            left_behind.unlink()
        save_training_state(path, state)  # at once, so that a disk that can't be written shows early

    def look_now_and_then(state):
        if state.step % every == 0 and state.step < steps:
            take_a_look(state, options.out, images.shape[1:])

    train(state, images, path, options.save_every, after_step=look_now_and_then)
    if first:
        print(f"wrote {options.out / 'model.safetensors'} and {take_a_look(state, options.out, images.shape[1:])}")


def main(arguments=None):
    """Train from the shell: writes training.safetensors (to go on), model.safetensors and samples-*.png into --out."""
    options = parse_arguments(arguments)
    path = options.out / "training.safetensors"
    kept = f"The state that was saved last, if there is one, is still in {path}."
    with (
        ending("Run the same command to go on.", KeyboardInterrupt),
        ending(f"{kept} Begin again with a lower --learning-rate and another --out.", FloatingPointError),
        ending(f"{kept} Make room in {options.out}, then run the same command to go on.", OSError),
        joined_processes(),
    ):
        run(options, path)


if __name__ == "__main__" and __spec__ is not None:  # run by python -m, not by a notebook
    main()
