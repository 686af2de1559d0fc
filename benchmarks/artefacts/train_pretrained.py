"""Train the model that ships in `data/`, and keep snapshots of the run for notebook 07.

    python -m benchmarks.artefacts.train_pretrained --steps 20000              # train; goes on with the run in runs/pretrained if there is one
    python -m benchmarks.artefacts.train_pretrained --steps 20000 --look       # then: draw pictures with every snapshot, and measure them
    python -m benchmarks.artefacts.train_pretrained --steps 20000 --ship       # and: the averaged weights become data/fashion-mnist.safetensors

A later leg starts from the weights of the one before, with an optimiser, an average and a learning rate of its own. Two legs lie near enough
to each other that the mean of their weights is a network too (a soup: Wortsman et al. 2022, arXiv:2203.05482; data/README.md has its figures):

    python -m benchmarks.artefacts.train_pretrained --run second_leg --steps 10000 --seed 1 --learning-rate 1e-3 --start first_leg.safetensors
    python -m benchmarks.artefacts.train_pretrained --run second_leg --steps 10000 --ship --mean-with first_leg.safetensors

The network that can be told a class begins with the weights of the one that can't, and is trained with one label in ten dropped:

    python -m benchmarks.artefacts.train_pretrained --classes --run classes --steps 1500 --learning-rate 1e-3 --start data/fashion-mnist.safetensors
    python -m benchmarks.artefacts.train_pretrained --classes --run classes --steps 1500 --ship             # data/fashion-mnist-classes.safetensors

`--look` writes `benchmarks/results/07_training.safetensors`: the losses; for every snapshot pictures drawn from the same noise by
the raw and by the averaged weights; the averaged weights' loss on test pictures by t, always with the same noise; and both
rulers' distances of a thousand pictures.
"""

import argparse
import json
import platform
import time

import torch

from benchmarks.quality import distances, draw
from benchmarks.speed.measure import command
from course.lessons import RESULTS, ROOT
from ddpm_lib.checkpoint import load_checkpoint, save_checkpoint, write_safetensors
from ddpm_lib.data import data_folder, load_images, open_dataset
from ddpm_lib.guidance import ClassUNet, drop_labels
from ddpm_lib.sampling import Batched, sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, best_device, best_precision, resume, train
from ddpm_lib.unet import UNet

RUNS = ROOT / "runs"


def snapshot_steps(steps):
    """Eight steps, each 1.8 times the one before, up to the last."""
    return sorted({max(1, round(steps / 1.8**k)) for k in range(8)})


def new_state(options):
    """The run that the options describe."""
    torch.manual_seed(options.seed)
    model, schedule = load_checkpoint(options.start) if options.start else (UNet(), NoiseSchedule(linear_betas(1000)))
    if options.classes:
        plain, model = model, ClassUNet(10)
        model.load_state_dict(plain.state_dict(), strict=False)  # all but the table of classes
        model.class_names = open_dataset("fashion-mnist", "train").classes
    model = model.to(best_device()).requires_grad_(True)
    settings = dict(batch_size=options.batch_size, learning_rate=options.learning_rate, seed=options.seed)
    settings |= dict(precision=best_precision(best_device()), optimizer=options.optimizer)
    return TrainingState(model, schedule, options.steps, **settings)


def train_with_snapshots(folder, options):
    images, labels = load_images()
    path = folder / "training.safetensors"
    state = resume(path, best_device()) if path.exists() else new_state(options)
    kept, start, first = snapshot_steps(options.steps), time.perf_counter(), state.step
    log = folder / "sittings.jsonl"

    def keep(state):
        if state.step in kept:
            save_checkpoint(folder / f"raw-{state.step:06d}.safetensors", state.model, state.schedule)
            save_checkpoint(folder / f"ema-{state.step:06d}.safetensors", state.ema.model, state.schedule)

    try:
        told = (lambda indices, generator: drop_labels(labels[indices], 0.1, generator)) if options.classes else None
        train(state, images, path, save_every=200, after_step=keep, labels=told)
    finally:
        with open(log, "a") as file:
            record = {
                "from": first,
                "to": state.step,
                "seconds": time.perf_counter() - start,
                "threads": torch.get_num_threads(),
                "command": command(),
            }
            file.write(json.dumps(record | {"settings": state.settings, "machine": platform.machine()}) + "\n")


def notes_on(folder):
    """How the run in that folder was made: what goes into the metadata of the files made from it."""
    sittings = [json.loads(line) for line in (folder / "sittings.jsonl").read_text().splitlines()]
    return {
        "command": sittings[-1]["command"],
        "seconds": f"{sum(s['seconds'] for s in sittings):.0f}",
        "threads": ", then ".join(dict.fromkeys(str(s["threads"]) for s in sittings)),
        "settings": json.dumps(sittings[-1]["settings"]),
        "torch": torch.__version__,
        "machine": f"{best_device()}, {platform.machine()}",
    }


@torch.no_grad()
def loss_by_time(model, schedule, times, count=1000):
    """The loss of the first `count` test pictures at each of the `times`, with the same noise for every model: `(len(times),)`."""
    images, noise = load_images(split="test", limit=count)[0], torch.randn(count, 1, 28, 28, generator=seeded(0))
    noisy = ((schedule.add_noise(images, t, noise), torch.full((count,), t)) for t in times)
    return torch.stack([(Batched(model, 100)(x_t, t) - noise).square().mean() for x_t, t in noisy])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def as_bytes(x_0):
    return ((x_0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def look(folder, steps, count=8):
    tensors = {"losses": torch.tensor(resume(folder / "training.safetensors").losses)}
    tensors |= {
        "steps": torch.tensor(snapshot_steps(steps)),
        "times": torch.tensor([1, 3, 10, 30, 100, 200, 400, 700, 1000]),
    }
    for kind in ("ema", "raw"):
        pictures = []
        for step in snapshot_steps(steps):
            model, schedule = load_checkpoint(folder / f"{kind}-{step:06d}.safetensors")
            pictures.append(as_bytes(sample(model, schedule, (count, 1, 28, 28), 250, generator=seeded(0))))
        tensors[kind] = torch.stack(pictures)  # (snapshots, count, 1, 28, 28)
    found = []
    for step in snapshot_steps(steps):
        model, schedule = load_checkpoint(folder / f"ema-{step:06d}.safetensors")
        verdict = distances(draw(model, schedule, 1000, 0, "dpm_solver", 20, spacing="time"))
        found.append((loss_by_time(model, schedule, tensors["times"].tolist()), verdict))
    tensors["loss_by_time"] = torch.stack([loss for loss, _ in found])  # (snapshots, times)
    for name in ("frechet", "second_frechet"):
        tensors[name] = torch.tensor([verdict[name] for _, verdict in found])
    notes = {"kind": "training run", "floors": json.dumps({k: v for k, v in found[0][1].items() if "floor" in k})}
    notes["distances"] = "n = 1000, DPM-Solver++, 20 evaluations, seed 0"
    write_safetensors(RESULTS / "07_training.safetensors", tensors, notes | notes_on(folder))


@torch.no_grad()
def ship(folder, steps, other=None, name="fashion-mnist"):
    """Put the run's averaged weights into `data/` under that name, or the mean of them and of the `other` checkpoint's."""
    model, schedule = load_checkpoint(folder / f"ema-{steps:06d}.safetensors")
    notes = notes_on(folder)
    if other:
        for weight, its in zip(model.parameters(), load_checkpoint(other)[0].parameters(), strict=True):
            weight.lerp_(its, 0.5)
        notes["mean with"] = str(other)
    save_checkpoint(data_folder() / f"{name}.safetensors", model, schedule, notes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="a checkpoint to start from, in place of random weights")
    parser.add_argument("--classes", action="store_true", help="a network that can be told a class (notebook 11)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--run", default="pretrained", help="the name of the run's folder in runs/")
    parser.add_argument("--look", action="store_true", help="draw and measure with the snapshots of a finished run")
    parser.add_argument("--ship", action="store_true", help="put the weights of a finished run into data/")
    parser.add_argument("--mean-with", help="with --ship: another checkpoint, to ship the mean of both weights")
    options = parser.parse_args()
    folder = RUNS / options.run
    if options.look:
        look(folder, options.steps)
    if options.ship:
        ship(folder, options.steps, options.mean_with, "fashion-mnist-classes" if options.classes else "fashion-mnist")
    if not (options.look or options.ship):
        train_with_snapshots(folder, options)
