# Exported from notebooks/07_training.ipynb: edit the notebook, not this file.
"""A real run: the averaged weights, checkpoints, resuming as if nothing had happened, and the command line."""

import argparse
import copy
import json
import math
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
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
    come from one generator with `seed`.
    """

    def __init__(self, model, schedule, steps, batch_size=64, learning_rate=2e-3, precision="float32", seed=0):
        if precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {precision!r}")
        if not all(isinstance(count, int) and count >= 1 for count in (steps, batch_size)):
            raise ValueError(f"steps and batch_size must be integers of at least 1, got {steps} and {batch_size}")
        self.model, self.schedule, self.ema = model, schedule, EMA(model)
        self.settings = dict(
            steps=steps, batch_size=batch_size, learning_rate=learning_rate, precision=precision, seed=seed
        )
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.losses = 0, []


def learning_rate_factor(step, steps):
    """The share of the learning rate to use at `step` of `steps`: a linear warm-up, then half a cosine down to 0."""
    warm_up = max(1, min(steps // 10, 200))
    return min(1, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_step(state, images):
    """One step of Algorithm 1 on a random batch of `images` `(N, C, H, W)` in [-1, 1]; returns the loss, a float."""
    model, settings = state.model.train(), state.settings
    device = next(model.parameters()).device
    x_0 = images[torch.randint(len(images), (settings["batch_size"],), generator=state.generator)].to(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
        loss = noise_prediction_loss(model, x_0, state.schedule, generator=state.generator)
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss.item()} at step {state.step + 1}: try a lower learning rate")
    for group in state.optimizer.param_groups:
        group["lr"] = settings["learning_rate"] * learning_rate_factor(state.step, settings["steps"])
    state.optimizer.zero_grad()
    loss.backward()
    length = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not torch.isfinite(length):
        raise FloatingPointError(
            f"the gradient became {length.item()} at step {state.step + 1}: try a lower learning rate"
        )
    state.optimizer.step()
    state.ema.update(model)
    state.step += 1
    state.losses.append(loss.item())
    return state.losses[-1]


def write_safetensors(path, tensors, metadata):
    """Write a safetensors file whole or not at all: a temporary file beside it, flushed to disk, then renamed over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata))
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
    model = build_unet(path, metadata.get("model", ""), unprefixed("model", tensors)).to(device)
    state = TrainingState(model, NoiseSchedule(tensors["betas"]), **json.loads(metadata["settings"]))
    state.ema.model.load_state_dict(unprefixed("ema", tensors))
    state.ema.gamma, state.ema.updates = json.loads(metadata["gamma"]), json.loads(metadata["step"])
    state.step, state.losses = json.loads(metadata["step"]), tensors["losses"].tolist()
    saved = state.optimizer.state_dict()
    names = [name for name, _ in model.named_parameters()] if state.step else []
    saved["state"] = {i: unprefixed(f"optimizer.{name}", tensors) for i, name in enumerate(names)}
    state.optimizer.load_state_dict(saved)
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


def train(state, images, path=None, save_every=500, progress=True, after_step=None):
    """Run `state` (new, or from `resume`) to its last step on `images` `(N, C, H, W)` in [-1, 1]; returns it.

    With `path` the state is saved there every `save_every` steps, at the end and on Ctrl-C, which ends the run with
    KeyboardInterrupt between two steps. `after_step(state)` is called after every step.
    """
    check_training_images(images)
    steps = state.settings["steps"]
    with (
        held_interrupts() as interrupted,
        tqdm(total=steps, initial=state.step, desc="training", unit="step", disable=not progress) as bar,
    ):
        while state.step < steps:
            train_step(state, images)
            bar.update()
            bar.set_postfix_str(f"loss {sum(state.losses[-100:]) / len(state.losses[-100:]):.4f}")
            if after_step:
                after_step(state)
            stop = interrupted()  # asked once, so that a run that stops has been saved
            if path and (stop or state.step % save_every == 0 or state.step == steps):
                save_training_state(path, state)
            if stop:
                break
    if state.step < steps:
        raise KeyboardInterrupt(f"stopped after step {state.step} of {steps}")
    return state


def seconds_per_step(model, schedule, images, batch_size, precision, steps=6):
    """Time training steps on a copy of `model`, after two that do not count: seconds for one."""
    state = TrainingState(copy.deepcopy(model), schedule, steps + 2, batch_size, precision=precision)
    for k in range(steps + 2):
        if k == 2:
            start = time.perf_counter()
        train_step(state, images)  # ends with loss.item(), which waits for the device
    return (time.perf_counter() - start) / steps


def choose_precision(model, schedule, images, batch_size):
    """The faster of "float32" and "bfloat16" on this machine, and its seconds per step, as measured."""
    times = {name: seconds_per_step(model, schedule, images, batch_size, name) for name in ("float32", "bfloat16")}
    fastest = min(times, key=times.get)
    return fastest, times[fastest]


def load_folder(path, image_size=28, channels=1):
    """Anyone's own pictures: a folder with a sub-folder for each class (torchvision's `ImageFolder`), as `(images, labels)`.

    The pictures are scaled and cropped to squares: images float32 `(N, channels, image_size, image_size)` in [-1, 1].
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels}")
    from torchvision import datasets, transforms

    steps = [transforms.Resize(image_size), transforms.CenterCrop(image_size), transforms.ToTensor()]
    grey = [transforms.Grayscale()] if channels == 1 else []
    try:
        folder = datasets.ImageFolder(str(path), transforms.Compose(grey + steps))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"path: {path} must be a folder with pictures in sub-folders, one a class: {error}"
        ) from error
    images, labels = zip(*folder, strict=True)
    return torch.stack(images) * 2 - 1, torch.tensor(labels)


def best_device():
    """The device to train on: "cuda", "mps" or "cpu", the first there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def start_training(images, minutes, image_budget, batch_size, learning_rate, seed):
    """A new run of the default UNet on `images`. A budget in minutes is turned into a number of steps here, once."""
    torch.manual_seed(seed)
    model = UNet(image_channels=images.shape[1]).to(best_device())
    schedule = NoiseSchedule(linear_betas(1000))
    precision, seconds = choose_precision(model, schedule, images, batch_size)
    steps = image_budget // batch_size if image_budget else int(minutes * 60 / seconds)
    return TrainingState(model, schedule, max(1, steps), batch_size, learning_rate, precision, seed)


def parse_arguments(arguments=None):
    """The command line of `python -m ddpm_lib.training`."""
    parser = argparse.ArgumentParser(
        prog="python -m ddpm_lib.training",
        description="Train a UNet to predict noise; goes on with the run in --out if there is one.",
    )
    parser.add_argument(
        "--data",
        default="fashion-mnist",
        help=f"one of {', '.join(DATASETS)}, or a folder of pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--image-size", type=int, default=28, help="for a folder: side of the square pictures (default: %(default)s)"
    )
    parser.add_argument(
        "--channels", type=int, default=1, choices=(1, 3), help="for a folder: grey or RGB (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=10, help="time to train, turned into steps at the start (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, help="train on this many images instead of for --minutes")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the run (default: runs/ and the name of the data)")
    options = parser.parse_args(arguments)
    options.out = options.out or Path("runs") / Path(options.data).name
    return options


def main(arguments=None):
    """Train from the shell: writes training.safetensors (to resume), model.safetensors and samples.png into --out."""
    options = parse_arguments(arguments)
    images, _ = (
        load_images(options.data)
        if options.data in DATASETS
        else load_folder(options.data, options.image_size, options.channels)
    )
    path = options.out / "training.safetensors"
    if path.exists():
        state = resume(path, best_device())
        print(
            f"going on with {path} after step {state.step} of {state.settings['steps']}, with its own settings (--out starts another run)"
        )
    else:
        state = start_training(
            images, options.minutes, options.images, options.batch_size, options.learning_rate, options.seed
        )
    try:
        train(state, images, path)
    except KeyboardInterrupt as stop:
        raise SystemExit(f"{stop}; run the same command to go on") from None
    save_checkpoint(options.out / "model.safetensors", state.ema.model, state.schedule)
    samples = sample(state.ema.model, state.schedule, (16, *images.shape[1:]), torch.Generator().manual_seed(0))
    from torchvision.utils import save_image

    save_image((samples + 1) / 2, options.out / "samples.png", nrow=8)
    print(f"wrote {options.out / 'model.safetensors'} and {options.out / 'samples.png'}")


if __name__ == "__main__" and __spec__ is not None:  # run by python -m, not by a notebook
    main()
