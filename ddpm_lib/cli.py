# Exported from notebooks/98_command_line.ipynb: edit the notebook, not this file.
"""Train, draw and measure from a shell: `python -m ddpm_lib train`, `sample` and `evaluate`."""

import argparse
import json
import math
import os
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
import torch.distributed as dist

from ddpm_lib.checkpoint import (
    load_checkpoint,
    read_safetensors,
    remove_leftovers,
    save_checkpoint,
    write_safetensors,
)
from ddpm_lib.data import DATASETS, FolderDataset, data_folder, load_images, open_dataset, to_minus_one_one
from ddpm_lib.evaluation import evaluate
from ddpm_lib.fast_sampling import ddim_sample, dpm_solver_sample
from ddpm_lib.guidance import ClassUNet, Guided, drop_labels
from ddpm_lib.sampling import Batched, sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import (
    TrainingState,
    best_device,
    best_precision,
    mean_over_processes,
    mixed_precision,
    on_device,
    previous,
    rank_and_world_size,
    resume,
    save_training_state,
    train,
    train_step,
)
from ddpm_lib.unet import UNet

try:
    import fcntl
except ImportError:  # Windows has other locks
    fcntl = None


HALVINGS = 2  # of the pictures' sides, by the default UNet


def positive_number(kind):
    """For argparse: the function that reads a positive finite number of that kind (`int` or `float`)."""

    def read(text):
        if not 0 < kind(text) < math.inf:
            raise argparse.ArgumentTypeError(f"must be positive, got {text}")
        return kind(text)

    read.__name__ = kind.__name__  # for argparse's own message about what is no number
    return read


def image_side(text):
    """For argparse: a side of square pictures that the default UNet can halve."""
    side, unit = positive_number(int)(text), 2**HALVINGS
    if side % unit:
        near = f"{side // unit * unit} or {side // unit * unit + unit}" if side > unit else str(unit)
        raise argparse.ArgumentTypeError(
            f"must be a multiple of {unit}, for the UNet halves it {HALVINGS} times: {near}, not {side}"
        )
    return side


def device_name(text):
    """For argparse: a device that torch can use here."""
    try:
        torch.empty(0, device=text)
    except (AssertionError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f"torch can't use {text!r} on this machine") from error
    return text


SAMPLERS = {  # each with the steps that it takes where --steps does not say
    "ancestral": (sample, 1000),
    "ddim": (ddim_sample, 50),
    "dpm_solver": (dpm_solver_sample, 20),
}


def add_machine_options(parser):
    """The options that every command has."""
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same result (default: 0)")
    parser.add_argument("--device", type=device_name, help="cpu, cuda, cuda:1 or mps (default: a GPU, if there is one)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="(default: bfloat16 where the processor has instructions for it, else float32)",
    )


def add_train_options(parser):
    """The options of `train`."""
    add, default, names = parser.add_argument, "(default: %(default)s)", ", ".join(DATASETS)
    add("--data", default="fashion-mnist", help=f"{names}, or a folder with pictures in sub-folders {default}")
    add("--image-size", type=image_side, help="for a folder: the side of the square pictures (default: 28)")
    add("--channels", type=int, choices=(1, 3), help="for a folder: 1 is grey, 3 is RGB (default: 1)")
    add(
        "--workers",
        type=positive_number(int),
        help="for a folder: processes that read it while the network trains (default: it is read first, if it fits in memory)",
    )
    add(
        "--minutes",
        type=positive_number(float),
        default=10,
        help=f"time to train, turned into steps early in the run {default}",
    )
    add("--images", type=positive_number(int), help="train on this many images, instead of for --minutes")
    add("--batch-size", type=positive_number(int), default=32, help=f"images a step, over all processes {default}")
    add("--optimizer", choices=("muon", "adamw"), default="muon", help=f"of notebook 07 {default}")
    add("--learning-rate", type=positive_number(float), default=2e-3, help=f"the highest one of the run {default}")
    add("--classes", action="store_true", help="a network that can be told what kind of picture to draw (notebook 11)")
    add("--compile", action="store_true", help="compile the network first, which takes a while; for a GPU")
    add("--save-every", type=positive_number(int), default=500, help=f"steps between two saves {default}")
    add("--out", type=Path, help="folder for the run (default: runs/ and the name of the data)")


def add_draw_options(parser, count):
    """The options of drawing, which `sample` and `evaluate` share."""
    add, default = parser.add_argument, "(default: %(default)s)"
    steps = ", ".join(f"{number} for {name}" for name, (_, number) in SAMPLERS.items())
    add("--checkpoint", type=Path, help="model.safetensors of a run (default: the model that ships with the library)")
    add("-n", "--count", type=positive_number(int), default=count, help=f"how many pictures {default}")
    add("--sampler", choices=tuple(SAMPLERS), default="dpm_solver", help=default)
    add("--steps", type=positive_number(int), help=f"calls of the network a picture (default: {steps})")
    add("--batch-size", type=positive_number(int), default=100, help=f"pictures in one call {default}")


def options_parser():
    """The options of `python -m ddpm_lib`."""
    parser = argparse.ArgumentParser(
        prog="python -m ddpm_lib", description="Train a diffusion model, draw with it, measure it."
    )
    commands = parser.add_subparsers(required=True, metavar="train | sample | evaluate")

    def command(function, about):
        added = commands.add_parser(function.__name__.removesuffix("_command"), help=about, description=about)
        added.set_defaults(command=function)
        return added

    training = command(train_command, "Train a UNet to predict noise; goes on with the run in --out if there is one.")
    add_train_options(training)
    drawing = command(sample_command, "Draw pictures with a trained network.")
    add_draw_options(drawing, count=16)
    drawing.add_argument(
        "--out", type=Path, default=Path("samples.png"), help="the grid of pictures (default: %(default)s)"
    )
    drawing.add_argument("--label", help="the class to draw, by name or number, with a network that was trained with --classes")
    drawing.add_argument("--scale", type=float, help="of the guidance towards --label; 1 only tells the class (default: 1.5)")
    drawing.add_argument(
        "--pngs", type=Path, metavar="FOLDER", help="also write each picture as a PNG file into this folder"
    )
    drawing.add_argument(
        "--safetensors", type=Path, metavar="FILE", help="also write all pixels into this file, for evaluate"
    )
    measuring = command(
        evaluate_command, "Draw garments, or take drawn ones, and measure how near they come to Fashion-MNIST."
    )
    add_draw_options(measuring, count=1000)
    measuring.add_argument(
        "--samples", type=Path, metavar="FILE", help="measure the pictures of this file, and draw none"
    )
    measuring.set_defaults(label=None, scale=None)
    for added in (training, drawing, measuring):
        add_machine_options(added)
    return parser


def parse_arguments(arguments=None, start=None):
    """The command line, read: options that do not go together are refused. The minutes count from `start`, or from now on."""
    parser = options_parser()
    options = parser.parse_args(arguments)
    options.start = time.perf_counter() if start is None else start
    options.device = options.device or best_device()
    if options.command is train_command:
        if options.data in DATASETS and (options.image_size or options.channels or options.workers):
            parser.error(
                f"--image-size, --channels and --workers are for a folder of pictures, and --data is {options.data}"
            )
        options.out = options.out or Path("runs") / Path(options.data).resolve().name
    elif options.scale is not None and options.label is None:
        parser.error("--scale says how hard to ask for a class, and --label names none")
    return options


@contextmanager
def exit_on(*errors, advice=""):
    """Turn these errors into the end of the program: their message, then the advice, and no traceback."""
    try:
        yield
    except errors as error:
        raise SystemExit(f"{error}\n{advice}".strip()) from None


def fits_in_memory(shape):
    """Whether float32 pictures of that shape take at most half of this machine's memory; True where it does not say."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return True
    return 4 * math.prod(shape) <= memory / 2


def read_pictures(options):
    """The images that --data names, a tensor, or a `FolderDataset` where they are to be read while the network trains; their labels; the classes' names."""
    if options.data in DATASETS:
        return *load_images(options.data), open_dataset(options.data, "train").classes
    pictures = FolderDataset(options.data, options.image_size or 28, options.channels or 1)
    images = pictures if options.workers or not fits_in_memory(pictures.shape) else pictures[:]
    return images, pictures.labels, pictures.classes


def keep_near(images, device):
    """A tensor of images on the GPU, where it takes at most a quarter of its free memory; else the images where they are."""
    if torch.device(device).type == "cuda" and torch.is_tensor(images):
        if images.nbytes <= torch.cuda.mem_get_info(device)[0] / 4:
            return images.to(device)
    return images


def open_pictures(options):
    """What `read_pictures` returns, the images near the device. The first process opens them first, in case they must be downloaded or unpacked."""
    rank, processes = rank_and_world_size()
    if rank > 0:
        dist.barrier()
    advice = f"--data must be {', '.join(DATASETS)}, or a folder with pictures in sub-folders."
    with exit_on(OSError, RuntimeError, ValueError, advice=advice):
        images, labels, names = read_pictures(options)
    if rank == 0 and processes > 1:
        dist.barrier()
    return keep_near(images, options.device), labels, names


LOOKS = 0.05  # the share of a run's time that is set aside for drawing on the way
LOOK = 16 * 50  # calls of the network that one look takes


def look_in_steps(batch_size):
    """How many training steps take as long as a look."""
    return LOOK / (3 * batch_size)


def seconds_per_step(model, schedule, images, settings, steps=10):
    """Time `steps` training steps of `model`, or a second of them, after two that do not count; returns seconds a step.

    The weights are put back as they were.
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = TrainingState(model, schedule, steps + 2, **settings)
    for _ in range(2):
        train_step(state, images)  # ends with numbers on the CPU, for which it waits for the device
    start, timed, seconds = time.perf_counter(), 0, 0
    while timed < steps and seconds < 1:
        train_step(state, images)
        timed, seconds = timed + 1, mean_over_processes(time.perf_counter() - start)
    model.load_state_dict(before)
    return seconds / timed


def affordable_steps(seconds_a_step, options):
    """How many steps the minutes that are left pay for. All processes must call it."""
    time_left = mean_over_processes(options.minutes * 60 - (time.perf_counter() - options.start))
    return max(1, int(time_left * (1 - LOOKS) / seconds_a_step - look_in_steps(options.batch_size)))


def new_network(images, names, options):
    """The default UNet for these images, on the device; with --classes it can be told the classes of these `names`."""
    torch.manual_seed(options.seed)
    model = ClassUNet(len(names), image_channels=images.shape[1]) if options.classes else UNet(image_channels=images.shape[1])
    if options.classes:
        model.class_names = names
    return on_device(model, options.device)


def start_training(images, names, options):
    """A new run of the default UNet on `images`, as the options of `train` say."""
    model, schedule = new_network(images, names, options), NoiseSchedule(linear_betas(1000))
    if options.compile:
        model.compile()
    settings = dict(batch_size=options.batch_size, learning_rate=options.learning_rate, seed=options.seed)
    settings |= dict(precision=options.precision or best_precision(options.device), optimizer=options.optimizer)
    if options.images:
        steps = max(1, options.images // options.batch_size)
    else:
        steps = affordable_steps(seconds_per_step(model, schedule, images, settings), options)
    return TrainingState(model, schedule, steps, **settings)


def plan_again(options):
    """A function to call after every step of a run that counts minutes: once, after a twentieth of the steps, it takes the number of steps from the pace so far.

    All processes must call it. It says whether the plan is a new one.
    """
    began, first, due = None, None, None

    def look_at_the_clock(state):
        nonlocal began, first, due
        if began is None:  # the first step is slower than the others
            began, first, due = time.perf_counter(), state.step, state.step + max(10, state.settings["steps"] // 20)
        if state.step != due:
            return False
        pace = mean_over_processes(time.perf_counter() - began) / (state.step - first)
        state.settings["steps"] = state.step + affordable_steps(pace, options)
        return True

    return look_at_the_clock


def open_run(options, images, names, path):
    """The run that is saved at `path`, or else a new one."""
    if not path.exists():
        with exit_on(ValueError):
            return start_training(images, names, options)
    advice = f"Delete {path} to begin again, or choose another --out."
    if previous(path).exists():
        advice = f"Put {previous(path)}, the state before it, in its place, or delete {path} to begin again."
    with exit_on(ValueError, advice=advice):
        state = resume(path, options.device)
        channels = state.model.settings["image_channels"]
        if channels != images.shape[1]:
            raise ValueError(f"{path} was trained on {channels} channel(s), and --data has {images.shape[1]}")
        kept = getattr(state.model, "class_names", None)
        if options.classes and kept is None:
            raise ValueError(f"{path} is a run without --classes")
        if kept not in (None, names):
            raise ValueError(f"{path} was trained on the classes {', '.join(kept)}, and --data has {', '.join(names)}")
    if options.compile:
        state.model.compile()
    return state


def steps_between_looks(steps, batch_size):
    """A fifth of the run, or more where a look would take more than `LOOKS` of the time in between."""
    return max(math.ceil(steps / 5), math.ceil(look_in_steps(batch_size) / LOOKS))


def save_grid(images, path):
    """Write images `(N, C, H, W)` in [-1, 1] as one PNG file, eight in a row, or more where there are many."""
    from torchvision.utils import save_image

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_image((images.clamp(-1, 1) + 1) / 2, path, nrow=max(8, math.isqrt(len(images))))


def take_a_look(state, folder, image_shape):
    """Write the averaged model, and a grid of pictures that it draws in 50 steps, into `folder`; returns the grid's path."""
    model, precision = state.ema.model, state.settings["precision"]
    notes = {"image size": str(image_shape[-1]), "settings": json.dumps(state.settings), "step": str(state.step)}
    save_checkpoint(folder / "model.safetensors", model, state.schedule, notes)
    generator, classes = torch.Generator().manual_seed(0), model.settings.get("classes")
    asked = Guided(model, torch.arange(16) % classes, 1) if classes else model
    with mixed_precision(model, precision):
        images = sample(asked, state.schedule, (16, *image_shape), steps=50, generator=generator, progress=False)
    save_grid(images.float().cpu(), folder / f"samples-{state.step:06d}.png")
    return folder / f"samples-{state.step:06d}.png"


@contextmanager
def only_run_in(folder):
    """Hold the lock of a run's folder, which dies with this process; end the program where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as file:
        try:
            if fcntl:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: the workers would inherit it
        except (BlockingIOError, PermissionError):
            raise SystemExit(
                f"Another run is at work in {folder}. Wait for its end, or choose another --out."
            ) from None
        yield


@contextmanager
def joined_processes(device):
    """Join the processes that torchrun started, one a GPU where `device` is one. Without torchrun there is nothing to join."""
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        yield
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    yield  # after an error the process just ends, and torchrun ends the others
    dist.destroy_process_group()


WORKERS = 2  # where a folder does not fit in memory and --workers does not say


def announce(state, path, device):
    """Say what begins or goes on, clear up behind a process that was killed, and save, so that a disk that can't be written shows early."""
    settings = state.settings
    if state.step:
        done = f"after step {state.step} of {settings['steps']}"
        print(f"going on with {path} {done}, with its own settings; --out starts another run")
    print(
        f"{settings['steps']} steps of {settings['batch_size']} images in {settings['precision']} on {device}",
        flush=True,
    )
    for name in ("training", "model"):
        remove_leftovers(path.with_name(f"{name}.safetensors"))
    save_training_state(path, state)


def told_in_training(model, labels):
    """What `train` takes as `labels`: for a `ClassUNet` the pictures' own, one in ten of them dropped; None for other networks."""
    if not isinstance(model, ClassUNet):
        return None
    return lambda indices, generator: drop_labels(labels[indices], 0.1, generator)


def run(options, path):
    """Train as the options say, with the state in `path`, and a look now and then."""
    (images, labels, names), first = open_pictures(options), rank_and_world_size()[0] == 0
    with only_run_in(options.out) if first else nullcontext():
        state = open_run(options, images, names, path)
        counts_minutes = state.step == 0 and not options.images
        new_plan = plan_again(options) if counts_minutes else lambda state: False
        if first:
            announce(state, path, options.device)

        def after_step(state):
            planned, steps = new_plan(state), state.settings["steps"]
            if first and planned:
                save_training_state(path, state)
            if first and state.step % steps_between_looks(steps, state.settings["batch_size"]) == 0 and state.step < steps:
                take_a_look(state, options.out, images.shape[1:])

        workers = 0 if torch.is_tensor(images) else options.workers or WORKERS
        train(state, images, path, options.save_every, after_step=after_step, workers=workers, labels=told_in_training(state.model, labels))
        if first:
            print(f"wrote {options.out / 'model.safetensors'} and {take_a_look(state, options.out, images.shape[1:])}")


def train_command(options):
    """Train: writes training.safetensors (to go on), model.safetensors and samples-*.png into --out."""
    path = options.out / "training.safetensors"
    kept = f"The state that was saved last, if there is one, is still in {path}."
    with (
        exit_on(KeyboardInterrupt, advice="Run the same command to go on."),
        exit_on(FloatingPointError, advice=f"{kept} Begin again with a lower --learning-rate and another --out."),
        exit_on(OSError, advice=f"{kept} Make room in {options.out}, then run the same command to go on."),
        joined_processes(options.device),
    ):
        run(options, path)


def open_checkpoint(path, device):
    """The model of the checkpoint at `path`, on that device; its schedule; and the shape of its pictures, `(C, H, W)`."""
    with exit_on(OSError, ValueError):
        model, schedule = load_checkpoint(path)
        side = int(read_safetensors(path, "checkpoint")[1].get("image size", 28))
    return on_device(model, device), schedule, (model.settings["image_channels"], side, side)


def class_number(model, label):
    """The number of the class that --label names: a number, a name, or the beginning of one name only. Ends the program for any other."""
    names = getattr(model, "class_names", range(model.settings.get("classes", 0)))
    wanted, known = label.casefold(), [str(name).casefold() for name in names]
    found = [k for k, name in enumerate(known) if name == wanted] or [k for k in range(len(known)) if str(k) == wanted]
    found = found or [k for k, name in enumerate(known) if name.startswith(wanted)]
    if len(found) != 1:
        known = ", ".join(f"{k} {name}" for k, name in enumerate(names)) or "none: the network was trained without --classes"
        raise SystemExit(f"--label must name one of the classes, got {label!r}; known are {known}")
    return found[0]


def draw(options):
    """The pictures that the options ask for, uint8 `(N, C, H, W)`, and how they were drawn, a dict of strings."""
    shipped = "fashion-mnist" if options.label is None else "fashion-mnist-classes"
    path = options.checkpoint or data_folder() / f"{shipped}.safetensors"
    model, schedule, image_shape = open_checkpoint(path, options.device)
    sampler, steps = SAMPLERS[options.sampler]
    steps, precision = options.steps or min(steps, schedule.T), options.precision or best_precision(options.device)
    shape, generator = (options.count, *image_shape), torch.Generator().manual_seed(options.seed)
    about = {"checkpoint": options.checkpoint or shipped, "sampler": options.sampler, "evaluations": steps}
    with exit_on(ValueError), mixed_precision(model, precision):
        asked = Batched(model, options.batch_size)
        if options.label is not None:
            scale = 1.5 if options.scale is None else options.scale
            asked = Guided(asked, class_number(model, options.label), scale)
            about |= {"label": options.label, "scale": scale, "evaluations": steps if scale == 1 else 2 * steps}
        images = sampler(asked, schedule, shape, steps=steps, generator=generator)
    pixels = ((images.float().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    about |= {"seed": options.seed, "computed in": precision, "device": options.device}
    return pixels, {name: str(value) for name, value in about.items()}


def sample_command(options):
    """Draw: writes a grid of pictures, and each picture by itself or all pixels where they are asked for."""
    pixels, about = draw(options)
    images = to_minus_one_one(pixels)
    with exit_on(OSError):
        save_grid(images, options.out)
        for k, image in enumerate(images if options.pngs else ()):
            save_grid(image[None], options.pngs / f"{k:05d}.png")
        if options.safetensors:
            write_safetensors(options.safetensors, {"pixels": pixels}, {"kind": "samples"} | about)
    written = [str(path) for path in (options.out, options.pngs, options.safetensors) if path]
    print(f"{', '.join(f'{name} {value}' for name, value in about.items())}\nwrote {', '.join(written)}")


def read_samples(path):
    """The pictures in a file that `sample --safetensors` wrote, uint8 `(N, C, H, W)`, and what it says of how they were drawn."""
    tensors, about = read_safetensors(path, "samples")
    return tensors["pixels"], {name: about[name] for name in sorted(about) if name not in ("kind", "checksum")}


def print_figures(about, figures):
    """Print how pictures were drawn and what `evaluate` found, a line each, beside what real pictures score."""
    for name, value in about.items():
        print(f"{name:18}{value}")
    for name, value in figures.items():
        if not name.endswith("_real"):
            values = " ".join(f"{number:.4g}" for number in (value if isinstance(value, list) else [value]))
            real = figures.get(name + "_real")
            print(f"{name.replace('_', ' '):18}{values}" + ("" if real is None else f"   (real pictures: {real:.4g})"))


def evaluate_command(options):
    """Measure: prints what `evaluate` finds, and how the pictures were drawn."""
    with exit_on(OSError, TypeError, ValueError):
        pixels, about = read_samples(options.samples) if options.samples else draw(options)
        print_figures(about, evaluate(to_minus_one_one(pixels)))


def main(arguments=None, start=None):
    """Run one of the commands, with these arguments or those of the shell; the minutes of `train` count from `start`, a `time.perf_counter()`."""
    options = parse_arguments(arguments, start)
    options.command(options)
