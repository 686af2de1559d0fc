"""Train the model that ships in `data/`, and keep snapshots of the run for notebook 07.

    python benchmarks/train_pretrained.py --steps 6000            # train; goes on with the run in runs/pretrained if there is one
    python benchmarks/train_pretrained.py --steps 6000 --sample   # then: sample every snapshot, write the results

The results: `data/fashion-mnist.safetensors` (averaged weights) and `benchmarks/results/training_run.safetensors`, with the
losses, and pictures drawn from the same noise by the raw and by the averaged weights of every snapshot.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch

from ddpm_lib.data import data_folder, load_images
from ddpm_lib.sampling import sample
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import (
    TrainingState,
    best_device,
    choose_precision,
    load_checkpoint,
    resume,
    save_checkpoint,
    train,
    write_safetensors,
)
from ddpm_lib.unet import UNet

RUN = Path(__file__).resolve().parent.parent / "runs" / "pretrained"
RESULTS = Path(__file__).resolve().parent / "results"


def snapshot_steps(steps):
    """Eight steps, each 1.8 times the one before, up to the last."""
    return sorted({max(1, round(steps / 1.8**k)) for k in range(8)})


def train_with_snapshots(steps, seed):
    images, _ = load_images()
    path = RUN / "training.safetensors"
    if path.exists():
        state = resume(path, best_device())
    else:
        torch.manual_seed(seed)
        model, schedule = UNet().to(best_device()), NoiseSchedule(linear_betas(1000))
        precision, _ = choose_precision(model, schedule, images, 64)
        state = TrainingState(model, schedule, steps, precision=precision, seed=seed)
    kept, start, first = snapshot_steps(steps), time.perf_counter(), state.step
    log = RUN / "sittings.jsonl"

    def keep(state):
        if state.step in kept:
            save_checkpoint(RUN / f"raw-{state.step:06d}.safetensors", state.model, state.schedule)
            save_checkpoint(RUN / f"ema-{state.step:06d}.safetensors", state.ema.model, state.schedule)

    try:
        train(state, images, path, save_every=200, after_step=keep)
    finally:
        with open(log, "a") as file:
            record = {
                "from": first,
                "to": state.step,
                "seconds": time.perf_counter() - start,
                "threads": torch.get_num_threads(),
            }
            file.write(json.dumps(record | {"settings": state.settings, "machine": platform.machine()}) + "\n")


def sample_snapshots(steps, count=8):
    tensors = {"losses": torch.tensor(resume(RUN / "training.safetensors").losses)}
    for kind in ("ema", "raw"):
        pictures = []
        for step in snapshot_steps(steps):
            model, schedule = load_checkpoint(RUN / f"{kind}-{step:06d}.safetensors")
            x_0 = sample(model, schedule, (count, 1, 28, 28), torch.Generator().manual_seed(0))
            pictures.append(((x_0.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))
        tensors[kind] = torch.stack(pictures)  # (snapshots, count, 1, 28, 28)
    tensors["steps"] = torch.tensor(snapshot_steps(steps))
    sittings = [json.loads(line) for line in (RUN / "sittings.jsonl").read_text().splitlines()]
    notes = {
        "command": f"python benchmarks/train_pretrained.py --steps {steps}",
        "seconds": f"{sum(s['seconds'] for s in sittings):.0f}",
        "threads": ", then ".join(dict.fromkeys(str(s["threads"]) for s in sittings)),
        "settings": json.dumps(sittings[-1]["settings"]),
        "torch": torch.__version__,
        "machine": f"{best_device()}, {platform.machine()}",
    }
    write_safetensors(RESULTS / "training_run.safetensors", tensors, {"kind": "training run"} | notes)
    model, schedule = load_checkpoint(RUN / f"ema-{steps:06d}.safetensors")
    save_checkpoint(data_folder() / "fashion-mnist.safetensors", model, schedule, notes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="sample the snapshots of a finished run")
    options = parser.parse_args()
    if options.sample:
        sample_snapshots(options.steps)
    else:
        train_with_snapshots(options.steps, options.seed)
