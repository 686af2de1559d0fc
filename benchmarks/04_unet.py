"""What notebook 04 cites, into `results/04_unet.json`: what the skip connections and the time of a UNet earn, by how long it was trained.

    python -m benchmarks.04_unet                    # three seeds of three networks, 2,400 steps each: a quarter of an hour on one core
    python -m benchmarks.04_unet --seeds 3 --steps 75 150    # another seed, shorter

The networks of one seed start from the same weights and see the same pictures, times and noise, so they can be compared in pairs; seeds
share nothing of these. "Skips cut": every kept map is replaced by zeros where it arrives. "Time forgotten": the time's embedding is
zero, whatever t is. No parameter is removed. The error is the mean squared error of the predicted noise on held-out garments, at one t
at a time, the same noise for every network. The learning rate is constant, so what is measured after k steps is a training of k steps,
and nothing of a longer plan.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.speed.measure import command, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.data import load_images
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.unet import Block, UNet

FILE = RESULTS / "04_unet.json"
TIMES = (5, 20, 50, 100, 200, 400, 700, 1000)
STEPS = (75, 150, 300, 600, 1200, 2400)
SETTINGS = {"base_channels": 8, "batch_size": 16, "learning_rate": 2e-3, "held_out": 200}


def cut_skips(model):
    """Hang a hook on every block of the way up: the kept map beside its input becomes zero."""
    last = [layer.residual.second[-1] if isinstance(layer, Block) else layer for layer in model.down]
    widths = [layer.weight.shape[0] for layer in [model.stem, *last]]
    for layer in model.up:
        if isinstance(layer, Block):
            layer.register_forward_pre_hook(zeroed_part(widths.pop()))
    return model


def zeroed_part(width):
    def hook(module, inputs):
        x, time = inputs
        return torch.cat([x[:, :-width], torch.zeros_like(x[:, -width:])], dim=1), time

    return hook


def forget_time(model):
    """Hang a hook on the time's embedding: it answers with zeros."""
    model.time_embedding.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    return model


NETWORKS = {"as built": lambda model: model, "skips cut": cut_skips, "time forgotten": forget_time}


@torch.no_grad()
def error_by_time(model, garments, schedule):
    errors = []
    for t in TIMES:
        noise = torch.randn(garments.shape, generator=torch.Generator().manual_seed(t))
        error = ((model(schedule.add_noise(garments, t, noise), t) - noise) ** 2).mean()
        errors.append(round(error.item(), 6))
    return errors


def train_and_measure(change, seed, steps, images, garments):
    """Train one network; yields (steps so far, its errors) at each of `steps`."""
    torch.manual_seed(seed)
    model, schedule = change(UNet(base_channels=SETTINGS["base_channels"])), NoiseSchedule(linear_betas(1000))
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTINGS["learning_rate"])
    generator = torch.Generator().manual_seed(1000 + seed)
    for step in range(1, max(steps) + 1):
        chosen = torch.randint(len(images), (SETTINGS["batch_size"],), generator=generator)
        optimizer.zero_grad()
        noise_prediction_loss(model, images[chosen], schedule, generator=generator).backward()
        optimizer.step()
        if step in steps:
            yield step, error_by_time(model, garments, schedule)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, nargs="*", default=STEPS, help="where to measure; the last is the length")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    images, garments = load_images()[0], load_images(split="test", limit=SETTINGS["held_out"])[0]
    about = {"command": command(), "machine": made_on(), "settings": SETTINGS, "times": TIMES, "seeds": options.seeds}
    records, start = [], time.process_time()
    for seed in options.seeds:
        for name, change in NETWORKS.items():
            for steps, errors in train_and_measure(change, seed, options.steps, images, garments):
                records.append({"network": name, "seed": seed, "steps": steps, "errors": errors})
                print(records[-1], f"{time.process_time() - start:.0f} s of one core", flush=True)
            seconds = round(time.process_time() - start)
            write_json(options.out, about | {"core_seconds": seconds, "records": records})


if __name__ == "__main__":
    main()
