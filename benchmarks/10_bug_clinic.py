"""Train the sick and the healthy models of notebook 10: five small sick networks and a healthy one, 51,200 pictures each.

    python -m benchmarks.10_bug_clinic        # writes results/10_bug_clinic.safetensors; 20 minutes on one core

The patients themselves are in `checks/10_bug_clinic.py`.
"""

import argparse
import copy
import json
import time
import warnings
from pathlib import Path

import torch
from torch.nn.utils import parameters_to_vector
from tqdm import tqdm

from benchmarks.speed.measure import machine
from course.lessons import checks_of
from ddpm_lib.checkpoint import write_safetensors
from ddpm_lib.data import load_images
from ddpm_lib.training import learning_rate_factor
from ddpm_lib.unet import UNet

clinic = checks_of("10_bug_clinic")


def train_patient(parts, pixels, steps, T=100, batch_size=32, learning_rate=4e-3, base_channels=8, seed=0):
    """Train a small UNet with those parts in place of the healthy ones; returns (averaged model, schedule, losses)."""
    parts = clinic.HEALTHY | parts
    torch.manual_seed(seed)
    model, generator = UNet(base_channels=base_channels), torch.Generator().manual_seed(seed)
    averaged = copy.deepcopy(model).requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NoiseSchedule warns of patient 11
        schedule = parts["schedule"](T)
    optimizer, losses = torch.optim.AdamW(model.parameters(), learning_rate), []
    for step in tqdm(range(steps), mininterval=10):
        chosen = torch.randint(len(pixels), (batch_size,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss = parts["loss"](model, parts["pixels"](pixels[chosen]), schedule, generator)
        optimizer.param_groups[0]["lr"] = learning_rate * learning_rate_factor(step, steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for average, weights in zip(averaged.parameters(), model.parameters(), strict=True):
            parts["average"](average, weights.detach(), step + 1)
        losses.append(loss.item())
    return averaged.eval(), schedule, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="*", choices=clinic.TRAINERS, default=list(clinic.TRAINERS), help="train these, keep the others"
    )
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--out", type=Path, default=clinic.TRAINED)
    options = parser.parse_args()
    pixels = ((load_images()[0] + 1) * 127.5).round().to(torch.uint8)
    tensors, notes = clinic.read_results(options.out)
    where = machine()
    for name in options.only:
        start = time.perf_counter()
        model, schedule, losses = train_patient(clinic.TRAINERS[name], pixels, options.steps)
        weights = parameters_to_vector(model.parameters()).half()  # half precision, for the file's size
        kept = {"weights": weights, "betas": schedule.betas[1:], "losses": torch.tensor(losses).half()}
        tensors |= {f"{name}.{key}": value for key, value in kept.items()}
        notes |= {
            "kind": "bug clinic",
            "command": "python -m benchmarks.10_bug_clinic",
            "model": json.dumps(model.settings),
            "steps": str(options.steps),
            "machine": f"{where['processor']}, {where['cores']} cores",
            "torch": torch.__version__,
            f"seconds, {name}": f"{time.perf_counter() - start:.0f}",
        }
        write_safetensors(options.out, tensors, notes)
        last = losses[-100:]
        print(f"{name}: last losses {sum(last) / len(last):.4f}, {notes[f'seconds, {name}']} s", flush=True)


if __name__ == "__main__":
    main()
