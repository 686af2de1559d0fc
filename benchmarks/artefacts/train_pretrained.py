"""Train the model that ships in `data/`, and keep snapshots of the run for notebook 07.

    python -m benchmarks.artefacts.train_pretrained --steps 6500              # train; goes on with the run in runs/pretrained if there is one
    python -m benchmarks.artefacts.train_pretrained --steps 6500 --sample     # then: draw pictures with every snapshot, for notebook 07
    python -m benchmarks.artefacts.train_pretrained --steps 6500 --ship       # and: the averaged weights become data/fashion-mnist.safetensors

A second leg starts from the weights of the first, with an optimiser, an average and a learning rate of its own:

    python -m benchmarks.artefacts.train_pretrained --run second_leg --steps 4500 --seed 1 --learning-rate 1e-3 \\
        --start data/fashion-mnist.safetensors                      # train, then once more with --ship

`--sample` writes `benchmarks/results/07_training.safetensors`: the losses, and pictures drawn from the same noise by the
raw and by the averaged weights of every snapshot.
"""

import argparse
import json
import platform
import time

import torch

from benchmarks.speed.measure import command
from course.lessons import RESULTS, ROOT
from ddpm_lib.checkpoint import load_checkpoint, save_checkpoint, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.sampling import sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, best_device, best_precision, resume, train
from ddpm_lib.unet import UNet

RUNS = ROOT / "runs"


def snapshot_steps(steps):
    """Eight steps, each 1.8 times the one before, up to the last."""
    return sorted({max(1, round(steps / 1.8**k)) for k in range(8)})


def train_with_snapshots(folder, steps, seed, start_from, learning_rate):
    images, _ = load_images()
    path = folder / "training.safetensors"
    if path.exists():
        state = resume(path, best_device())
    else:
        torch.manual_seed(seed)
        model, schedule = load_checkpoint(start_from) if start_from else (UNet(), NoiseSchedule(linear_betas(1000)))
        model = model.to(best_device()).requires_grad_(True)
        precision = best_precision(best_device())
        state = TrainingState(model, schedule, steps, 64, learning_rate=learning_rate, precision=precision, seed=seed)
    kept, start, first = snapshot_steps(steps), time.perf_counter(), state.step
    log = folder / "sittings.jsonl"

    def keep(state):
        if state.step in kept:
            save_checkpoint(folder / f"raw-{state.step:06d}.safetensors", state.model, state.schedule)
            save_checkpoint(folder / f"ema-{state.step:06d}.safetensors", state.ema.model, state.schedule)

    try:
        train(state, images, path, save_every=200, after_step=keep)
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


def sample_snapshots(folder, steps, count=8):
    tensors = {"losses": torch.tensor(resume(folder / "training.safetensors").losses)}
    for kind in ("ema", "raw"):
        pictures = []
        for step in snapshot_steps(steps):
            model, schedule = load_checkpoint(folder / f"{kind}-{step:06d}.safetensors")
            x_0 = sample(model, schedule, (count, 1, 28, 28), generator=torch.Generator().manual_seed(0))
            pictures.append(((x_0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
        tensors[kind] = torch.stack(pictures)  # (snapshots, count, 1, 28, 28)
    tensors["steps"] = torch.tensor(snapshot_steps(steps))
    notes = {"kind": "training run"} | notes_on(folder)
    write_safetensors(RESULTS / "07_training.safetensors", tensors, notes)


def ship(folder, steps):
    model, schedule = load_checkpoint(folder / f"ema-{steps:06d}.safetensors")
    save_checkpoint(data_folder() / "fashion-mnist.safetensors", model, schedule, notes_on(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", help="a checkpoint to start from, in place of random weights")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--run", default="pretrained", help="the name of the run's folder in runs/")
    parser.add_argument("--sample", action="store_true", help="draw with the snapshots of a finished run")
    parser.add_argument("--ship", action="store_true", help="put the weights of a finished run into data/")
    options = parser.parse_args()
    folder = RUNS / options.run
    if options.sample:
        sample_snapshots(folder, options.steps)
    if options.ship:
        ship(folder, options.steps)
    if not (options.sample or options.ship):
        train_with_snapshots(folder, options.steps, options.seed, options.start, options.learning_rate)
