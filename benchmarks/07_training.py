"""What notebook 07 cites, into `results/07_training.json`: what each choice of the training earns, and what a killed run loses.

    python -m benchmarks.07_training pace                                   # seconds a step of every variant, on a quiet machine
    python -m benchmarks.07_training ablations --seed 0 1 2                 # trains and measures what is missing
    python -m benchmarks.07_training ablations --only base AdamW --seed 3   # a part of it
    python -m benchmarks.07_training kill_nine                              # kills the training command 50 times

Ablations: the default UNet with one choice changed at a time, all at equal *time*: as many steps as three minutes pay for on two
quiet cores, at the variant's own stored pace. So the training itself may run on a busy machine, and on one thread. A thousand pictures of
each are drawn by DPM-Solver++ in 20 steps and measured by both rulers. The loop is written out here, with the options
that the library does not have because they earned nothing. Weights go to runs/ablations.

kill_nine: one run of `python -m ddpm_lib train` on a small folder of garments is started, killed with `kill -9`, started again, and
so on; every second kill waits for a write to begin and strikes inside it. After each kill the state on disk must be whole and must
not lie behind what was saved before; at the end the weights, the average, the optimiser and the losses must be, bit for
bit, those of the same run without a kill.
"""

import argparse
import fcntl
import functools
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torchvision.utils import save_image

from benchmarks.quality import distances, draw
from benchmarks.speed.measure import command, interleaved, made_on, spread, write_json
from course.lessons import RESULTS, ROOT
from ddpm_lib import training
from ddpm_lib.checkpoint import load_checkpoint, read_safetensors, save_checkpoint
from ddpm_lib.data import load_folder, load_images
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import (
    EMA,
    MuonAdamW,
    TrainingState,
    learning_rate_factor,
    resume,
    save_training_state,
    stratified_times,
    train,
)
from ddpm_lib.unet import UNet

FILE, ABLATION_RUNS = RESULTS / "07_training.json", ROOT / "runs" / "ablations"


def read_section(name):
    return json.loads(FILE.read_text()).get(name, {}) if FILE.exists() else {}


def write_section(name, content, path=FILE):
    """Put one of the measurements into the results, and keep the others."""
    old = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, old | {name: content})


# ablations

BUDGET = 180 * 0.95  # seconds of training: three minutes, less what a run spends on looking

BASE = dict(
    optimizer="muon",
    learning_rate=2e-3,  # of AdamW; Muon's is five times as high
    batch_size=32,
    stratified=True,  # one t from each of batch_size equal slices of 1..T, in place of independent ones
    flip=False,  # mirror each picture with probability 1/2
    betas="linear",
    precision="bfloat16",
    decay="cosine",
    adam_beta_2=0.999,
    momentum=0.95,  # of Muon
    iterations=5,  # of Newton-Schulz
    min_snr=None,  # the loss of each picture times min(SNR, this) / SNR (Hang et al. 2023)
    network={},
)
CHANGES = {
    "base": {},
    "AdamW": dict(optimizer="adamw"),
    "AdamW, rate 1e-3": dict(optimizer="adamw", learning_rate=1e-3),
    "AdamW, rate 4e-3": dict(optimizer="adamw", learning_rate=4e-3),
    "AdamW, batches of 64": dict(optimizer="adamw", batch_size=64),
    "rate 1e-3": dict(learning_rate=1e-3),
    "rate 4e-3": dict(learning_rate=4e-3),
    "batches of 16": dict(batch_size=16),
    "batches of 64": dict(batch_size=64),
    "batches of 64, rate 4e-3": dict(batch_size=64, learning_rate=4e-3),
    "independent t": dict(stratified=False),
    "cosine schedule": dict(betas="cosine"),
    "constant rate": dict(decay="none"),
    "float32": dict(precision="float32"),
    "min-SNR 5": dict(min_snr=5.0),
    "Adam beta_2 = 0.99": dict(adam_beta_2=0.99),
    "momentum 0.9": dict(momentum=0.9),
    "3 iterations": dict(iterations=3),
    "flips": dict(flip=True),
    "base 24, (1, 2, 4)": dict(network=dict(base_channels=24, channel_multipliers=(1, 2, 4))),
}


def loss_of(model, x_0, schedule, t, noise, min_snr):
    """The loss of notebook 05, or the same with every picture weighed by min(SNR, min_snr) / SNR."""
    if min_snr is None:
        return noise_prediction_loss(model, x_0, schedule, t, noise)
    weights = (min_snr / schedule.snr[t]).clamp(max=1).float()
    errors = (model(schedule.add_noise(x_0, t, noise), t) - noise).square().mean((1, 2, 3))  # (N,)
    return (weights * errors).mean()


class Variant:
    """A run of one variant: `step()` takes one step of `steps`."""

    def __init__(self, images, settings, steps, seed):
        torch.manual_seed(seed)
        self.images, self.settings, self.steps, self.seed, self.step_number = images, settings, steps, seed, 0
        self.model, self.losses = UNet(**settings["network"]), []
        self.schedule = NoiseSchedule({"linear": linear_betas, "cosine": cosine_betas}[settings["betas"]](1000))
        self.average, rate = EMA(self.model), settings["learning_rate"]
        muon = settings["optimizer"] == "muon"
        self.optimizer = MuonAdamW(self.model, rate, settings["momentum"]) if muon else None
        self.optimizer = self.optimizer or torch.optim.AdamW(self.model.parameters(), rate, fused=True)
        for group in self.optimizer.param_groups:
            group["betas"] = (0.9, settings["adam_beta_2"])

    def step(self):
        settings, step, count = self.settings, self.step_number, self.settings["batch_size"]
        (drawn,) = np.random.SeedSequence((self.seed, step)).generate_state(1)
        generator = torch.Generator().manual_seed(int(drawn))
        x_0 = self.images[torch.randint(len(self.images), (count,), generator=generator)]
        if settings["flip"]:
            x_0 = torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.5, x_0.flip(-1), x_0)
        t = torch.randint(1, self.schedule.T + 1, (count,), generator=generator)
        if settings["stratified"]:
            t = stratified_times(count, self.schedule.T, generator)
        noise = torch.randn(x_0.shape, generator=generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = loss_of(self.model, x_0, self.schedule, t, noise, settings["min_snr"])
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        warm_up = min(1, (step + 1) / max(1, min(self.steps // 10, 200)))
        factor = learning_rate_factor(step, self.steps) if settings["decay"] == "cosine" else warm_up
        for group in self.optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * factor
        self.optimizer.step()
        self.average.update(self.model)
        self.losses.append(loss.item())
        self.step_number += 1

    def run(self):
        original = training.orthogonalised
        training.orthogonalised = functools.partial(original, iterations=self.settings["iterations"])
        try:
            while self.step_number < self.steps:
                self.step()
        finally:
            training.orthogonalised = original
        return self


def measure_pace(options):
    """Seconds a step of every variant, in rounds that take turns; the machine must do nothing else."""
    images, _ = load_images()
    works = {}
    for name in options.only:
        variant = Variant(images, BASE | CHANGES[name], 10**6, 0)
        works[name] = variant.step
        variant.step()
    for times in interleaved(works, options.rounds, options.seconds):
        pace = {name: spread(values) for name, values in times.items()}
        about = {"command": command(), "machine": made_on()}
        write_section(
            "pace", about | {"seconds_a_step": read_section("pace").get("seconds_a_step", {}) | pace}, options.out
        )


def affordable_steps(name):
    """How many steps of a variant the budget pays for: by the fastest turn of all variants that compute the same, so that no one's bad luck counts."""
    paces = read_section("pace")["seconds_a_step"]
    work = [
        [(BASE | CHANGES[other])[key] for key in ("optimizer", "batch_size", "precision", "iterations", "network")]
        for other in (name, *CHANGES)
    ]
    alike = [other for other, does in zip(CHANGES, work[1:], strict=True) if does == work[0]]
    return int(BUDGET / min(paces[other]["min"] for other in alike if other in paces))


def train_variant(name, seed, path):
    """Train one variant for as many steps as the budget pays for; writes the averaged and the raw weights into `path`."""
    settings, start = BASE | CHANGES[name], time.perf_counter()
    variant = Variant(load_images()[0], settings, affordable_steps(name), seed).run()
    last = variant.losses[-200:]
    notes = {"settings": json.dumps(settings), "steps": str(variant.steps), "threads": str(torch.get_num_threads())}
    notes |= {"final_loss": f"{sum(last) / len(last):.5f}", "busy_seconds": f"{time.perf_counter() - start:.0f}"}
    for kind, model in (("ema", variant.average.model), ("raw", variant.model)):
        save_checkpoint(path / f"{kind}.safetensors", model, variant.schedule, notes | {"variant": name})


def ablate(options):
    """Train, draw and measure every variant that has no record yet."""
    for seed in options.seed:
        for name in options.only:
            path = ABLATION_RUNS / f"{name.replace(' ', '_')}-{seed}"
            for weights in ("ema", "raw") if name in ("base", "constant rate") else ("ema",):
                record = {"variant": name, "weights": weights, "seed": seed}
                done = read_section("ablations").get("records", [])
                if any(record.items() <= old.items() for old in done):
                    continue
                if not (path / "raw.safetensors").exists():
                    train_variant(name, seed, path)
                record |= measure_variant(path / f"{weights}.safetensors", seed)
                add_record(record, options.out)
                print(
                    f"{name}, {weights}, seed {seed}: {record['frechet']:.2f} {record['second_frechet']:.2f}",
                    flush=True,
                )


def add_record(record, path):
    """Put a record beside the others, also where two processes do so at once."""
    with open(ABLATION_RUNS / "lock", "a") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        about = {"command": "python -m benchmarks.07_training ablations", "machine": made_on(), "budget": BUDGET}
        about |= {"sampler": "DPM-Solver++, 20 steps, even in t", "evaluations": 20}
        write_section("ablations", about | {"records": [*read_section("ablations").get("records", []), record]}, path)


def measure_variant(path, seed, n=1000):
    """The distances of pictures from x_T of that seed, and how the weights were made."""
    (model, schedule), notes = load_checkpoint(path), read_safetensors(path, "checkpoint")[1]
    settings = json.loads(notes["settings"])
    pictures = draw(model, schedule, n, seed, "dpm_solver", 20, spacing="time", precision=settings["precision"])
    made = {"steps": int(notes["steps"]), "final_loss": float(notes["final_loss"]), "settings": settings}
    return made | distances(pictures)


# kill -9

STEPS, BATCH, SIDE, SEED = 300, 4, 8, 0


def make_pictures(folder, count=16):
    """A folder of garments, as files."""
    images, labels = load_images(split="test", limit=count)
    for k, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        save_image((image + 1) / 2, folder / str(label) / f"{k}.png")
    return folder


def start(data, out):
    """The command, under way: after it has opened or saved its state."""
    command = [
        sys.executable,
        "-m",
        "ddpm_lib",
        "train",
        "--data",
        data,
        "--image-size",
        SIDE,
        "--out",
        out,
        "--seed",
        SEED,
    ]
    command += ["--images", STEPS * BATCH, "--batch-size", BATCH, "--save-every", 1, "--precision", "float32"]
    with open(out.parent / "log.txt", "a") as log:
        child = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=log, stderr=log)
    began = time.time_ns()
    path = out / "training.safetensors"
    while child.poll() is None and not (path.exists() and path.stat().st_mtime_ns > began):
        time.sleep(0.001)
    return child


def strike(child, out, inside, wait):
    """Kill the command after `wait` seconds, if `inside` then at the next moment at which a file is half written."""
    time.sleep(wait)
    while inside and child.poll() is None and not list(out.glob("*.tmp")):
        pass
    running = child.poll() is None
    child.kill()
    child.wait()
    return running


def reference(data, folder):
    """The same run in one go, in this process, written and read once."""
    images, _ = load_folder(data, SIDE, 1)
    torch.manual_seed(SEED)
    state = TrainingState(UNet(), NoiseSchedule(linear_betas(1000)), STEPS, BATCH, seed=SEED)
    train(state, images, progress=False)
    save_training_state(folder / "reference.safetensors", state)
    return folder / "reference.safetensors"


def identical(*paths):
    """Whether two saved states hold the same bits."""
    (a, about_a), (b, about_b) = (read_safetensors(path, "training state") for path in paths)
    return about_a == about_b and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def kill_often(folder, kills, longest):
    """Run, kill, run again; returns a record of every kill and how many states were lost."""
    chance, data, out = random.Random(SEED), make_pictures(folder / "pictures"), folder / "run"
    path, step, records, lost = out / "training.safetensors", 0, [], 0
    while len(records) < kills:
        child = start(data, out)
        if not strike(child, out, inside=len(records) % 2 == 1, wait=chance.uniform(0, longest)):
            raise SystemExit(f"the run ended after {len(records)} kills: {(folder / 'log.txt').read_text()[-2000:]}")
        left = [file.name for file in out.glob("*.tmp")]
        try:
            now = resume(path).step
        except (ValueError, FileNotFoundError) as error:
            now = -1
            print(error)
        lost += now < step
        records.append({"inside a write": bool(left), "step on disk": now})
        step = now
        print(len(records), records[-1], flush=True)
    while resume(path).step < STEPS:
        start(data, out).wait()
    return records, lost, identical(path, reference(data, folder))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    pace, ablations, killing = (kinds.add_parser(name) for name in ("pace", "ablations", "kill_nine"))
    pace.set_defaults(measure=measure_pace)
    pace.add_argument("--rounds", type=int, default=3)
    pace.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    ablations.set_defaults(measure=ablate)
    ablations.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    for kind in (pace, ablations):
        kind.add_argument("--only", nargs="*", choices=CHANGES, default=list(CHANGES), metavar="VARIANT")
    killing.set_defaults(measure=report_kills)
    killing.add_argument("--kills", type=int, default=50)
    killing.add_argument("--longest", type=float, default=1.0, help="seconds from the start of training to the kill")
    for kind in (pace, ablations, killing):
        kind.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    options.measure(options)


def report_kills(options):
    with tempfile.TemporaryDirectory() as folder:
        kills, lost, same = kill_often(Path(folder), options.kills, options.longest)
    about = {"command": command(), "seed": SEED, "steps": STEPS, "lost": lost, "identical": same, "kills": kills}
    about["machine"] = f"{platform.machine()}, {platform.system()}, torch {torch.__version__}"
    write_section("kill_nine", about, options.out)
    inside = sum(kill["inside a write"] for kill in kills)
    print(f"{len(kills)} kills, {inside} inside a write: lost {lost}, identical {same}")


if __name__ == "__main__":
    main()
