"""Which parts of the training recipe earn their place? Train the default UNet with one choice changed at a time, and measure.

    python benchmarks/recipe.py --train        # trains what is missing; weights go to runs/recipe
    python benchmarks/recipe.py --measure      # samples and measures what is missing; writes results/recipe.json

Every variant sees the same number of pictures, so that what is compared is what they make of them. The loop is written out
here, with the options that the library does not have because they earned nothing.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from measure import made_on, write_json

from ddpm_lib.data import load_images
from ddpm_lib.evaluation import frechet_distance, frechet_floor, image_features, real_features
from ddpm_lib.fast_sampling import ddim_sample
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import EMA, load_checkpoint, read_safetensors, save_checkpoint
from ddpm_lib.unet import UNet

HERE = Path(__file__).resolve().parent
RUNS, RESULTS = HERE.parent / "runs" / "recipe", HERE / "results" / "recipe.json"
BASE = dict(
    learning_rate=2e-3,
    batch_size=64,
    stratified=False,  # one t from each of batch_size equal slices of 1..T, in place of independent ones
    flip=False,  # mirror each picture with probability 1/2
    betas="linear",
    precision="bfloat16",
    decay="cosine",
    adam_beta_2=0.999,
    gamma=6.94,
)
CHANGES = {
    "base": {},
    "stratified t": dict(stratified=True),
    "flips": dict(flip=True),
    "learning rate 1e-3": dict(learning_rate=1e-3),
    "learning rate 4e-3": dict(learning_rate=4e-3),
    "batches of 32": dict(batch_size=32),
    "batches of 16": dict(batch_size=16),
    "batches of 128": dict(batch_size=128),
    "cosine schedule": dict(betas="cosine"),
    "float32": dict(precision="float32"),
    "constant rate": dict(decay="none"),
    "Adam beta_2 = 0.99": dict(adam_beta_2=0.99),
}


def draw_times(count, T, stratified, generator):
    """t in 1..T for every picture: independent, or one from each of `count` equal slices."""
    if not stratified:
        return torch.randint(1, T + 1, (count,), generator=generator)
    return 1 + ((torch.arange(count) + torch.rand(count, generator=generator)) * T / count).long().clamp(max=T - 1)


def train_variant(images, pictures, seed, settings):
    """Train one variant on that many pictures. Returns (model, its averages by gamma, schedule, losses, seconds)."""
    torch.manual_seed(seed)
    model, generator = UNet(), torch.Generator().manual_seed(seed)
    schedule = NoiseSchedule({"linear": linear_betas, "cosine": cosine_betas}[settings["betas"]](1000))
    averages = {gamma: EMA(model, gamma) for gamma in {settings["gamma"], 16.97}}
    optimizer = torch.optim.AdamW(model.parameters(), settings["learning_rate"], betas=(0.9, settings["adam_beta_2"]))
    count, losses, start = settings["batch_size"], [], time.perf_counter()
    steps = pictures // count
    warm_up = max(1, min(steps // 10, 200))
    for step in range(steps):
        x_0 = images[torch.randint(len(images), (count,), generator=generator)]
        if settings["flip"]:
            x_0 = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, x_0.flip(-1), x_0)
        t = draw_times(count, schedule.T, settings["stratified"], generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = noise_prediction_loss(model, x_0, schedule, t, generator=generator)
        decay = 0.5 * (1 + math.cos(math.pi * step / steps)) if settings["decay"] == "cosine" else 1
        for group in optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * min(1, (step + 1) / warm_up) * decay
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for average in averages.values():
            average.update(model)
        losses.append(loss.item())
    return model, averages, schedule, losses, time.perf_counter() - start


def train_missing(names, pictures, seed):
    images, _ = load_images()
    for name in names:
        settings = BASE | CHANGES[name]
        path = RUNS / f"{name.replace(' ', '_')}-{pictures}-{seed}"
        if (path / "ema.safetensors").exists():
            continue
        model, averages, schedule, losses, seconds = train_variant(images, pictures, seed, settings)
        notes = {"seconds": f"{seconds:.0f}", "threads": str(torch.get_num_threads()), "settings": json.dumps(settings)}
        notes |= {"final_loss": f"{sum(losses[-100:]) / len(losses[-100:]):.5f}"}
        for gamma, average in averages.items():
            file = "ema" if gamma == settings["gamma"] else f"gamma_{gamma}"
            save_checkpoint(path / f"{file}.safetensors", average.model, schedule, notes)
        save_checkpoint(path / "raw.safetensors", model, schedule, notes)
        print(f"{name}: {seconds:.0f} s, loss {notes['final_loss']}", flush=True)


def measure_missing(steps=20, n=1000, seed=0):
    """Draw n pictures from every checkpoint that has no record yet, and append their Fréchet distance to the results."""
    records = json.loads(RESULTS.read_text())["records"] if RESULTS.exists() else []
    done = {(record["run"], record["weights"]) for record in records}
    for path in sorted(RUNS.glob("*/*.safetensors")):
        if (path.parent.name, path.stem) in done:
            continue
        model, schedule = load_checkpoint(path)
        notes = read_safetensors(path, "checkpoint")[1]
        settings = json.loads(notes["settings"])
        generator = torch.Generator().manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            shapes = [(250, 1, 28, 28)] * (n // 250)
            pictures = [ddim_sample(model, schedule, s, steps, generator=generator, progress=False) for s in shapes]
        reference, _ = real_features(image_features)
        distance = frechet_distance(image_features(torch.cat(pictures)), reference)
        name, seen, training_seed = path.parent.name.rsplit("-", 2)
        record = dict(run=path.parent.name, variant=name.replace("_", " "), weights=path.stem, pictures=int(seen))
        record |= dict(seed=int(training_seed), seconds=int(notes["seconds"]), threads=int(notes["threads"]))
        record |= dict(final_loss=float(notes["final_loss"]), sampler=f"DDIM, eta 0, {steps} steps", n=n)
        record |= dict(frechet=distance, floor=frechet_floor(n), ratio=distance / frechet_floor(n), settings=settings)
        print(f"{record['run']}, {path.stem}: {record['ratio']:.1f} floors", flush=True)
        records.append(record)
        command = "python benchmarks/recipe.py --train, then --measure"
        write_json(RESULTS, {"command": command, "machine": made_on(), "records": records})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--only", nargs="*", choices=CHANGES, default=list(CHANGES))
    parser.add_argument("--pictures", type=int, default=25_600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.train:
        train_missing(options.only, options.pictures, options.seed)
    if options.measure:
        measure_missing()
