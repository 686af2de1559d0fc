"""What notebook 07 cites, into `results/07_training.json`: what each choice of the training earns, and what a killed run loses.

    python -m benchmarks.07_training ablations --train      # trains what is missing; weights go to runs/ablations
    python -m benchmarks.07_training ablations --measure    # samples and measures what is missing
    python -m benchmarks.07_training kill_nine              # kills the training command 50 times

Ablations: the default UNet with one choice changed at a time. Every variant sees the same number of pictures, so that what is
compared is what they make of them. The loop is written out here, with the options that the library does not have because they
earned nothing.

kill_nine: one run of `python -m ddpm_lib train` on a small folder of garments is started, killed with `kill -9`, started again, and
so on; every second kill waits for a write to begin and strikes inside it. After each kill the state on disk must be whole and must
not lie behind what was saved before; at the end the weights, the average, the optimiser and the losses must be, bit for
bit, those of the same run without a kill.
"""

import argparse
import json
import math
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torchvision.utils import save_image

from benchmarks.speed.measure import command, made_on, write_json
from course.lessons import RESULTS, ROOT
from ddpm_lib.checkpoint import load_checkpoint, read_safetensors, save_checkpoint
from ddpm_lib.data import load_folder, load_images
from ddpm_lib.evaluation import image_features, real_features
from ddpm_lib.fast_sampling import ddim_sample
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.metrics import frechet_distance, frechet_floor
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.training import EMA, TrainingState, resume, save_training_state, train
from ddpm_lib.unet import UNet

FILE, ABLATION_RUNS = RESULTS / "07_training.json", ROOT / "runs" / "ablations"


def read_section(name):
    return json.loads(FILE.read_text()).get(name, {}) if FILE.exists() else {}


def write_section(name, content, path=FILE):
    """Put one of the two measurements into the results, and keep the other."""
    old = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, old | {name: content})


# ablations

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
        path = ABLATION_RUNS / f"{name.replace(' ', '_')}-{pictures}-{seed}"
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
    records = read_section("ablations").get("records", [])
    done = {(record["run"], record["weights"]) for record in records}
    for path in sorted(ABLATION_RUNS.glob("*/*.safetensors")):
        if (path.parent.name, path.stem) in done:
            continue
        model, schedule = load_checkpoint(path)
        notes = read_safetensors(path, "checkpoint")[1]
        settings = json.loads(notes["settings"])
        generator = torch.Generator().manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            shapes = [(250, 1, 28, 28)] * (n // 250)
            pictures = [ddim_sample(model, schedule, s, steps, generator=generator, progress=False) for s in shapes]
        reference, unseen = real_features()
        distance = frechet_distance(image_features(torch.cat(pictures)), reference)
        floor = frechet_floor(n, reference, unseen)
        name, seen, training_seed = path.parent.name.rsplit("-", 2)
        record = dict(run=path.parent.name, variant=name.replace("_", " "), weights=path.stem, pictures=int(seen))
        record |= dict(seed=int(training_seed), seconds=int(notes["seconds"]), threads=int(notes["threads"]))
        record |= dict(final_loss=float(notes["final_loss"]), sampler=f"DDIM, eta 0, {steps} steps", n=n)
        record |= dict(frechet=distance, floor=floor, ratio=distance / floor, settings=settings)
        print(f"{record['run']}, {path.stem}: {record['ratio']:.1f} floors", flush=True)
        records.append(record)
        about = {"command": "python -m benchmarks.07_training ablations --train, then --measure", "machine": made_on()}
        write_section("ablations", about | {"records": records})


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
    ablations = kinds.add_parser("ablations")
    ablations.add_argument("--train", action="store_true")
    ablations.add_argument("--measure", action="store_true")
    ablations.add_argument("--only", nargs="*", choices=CHANGES, default=list(CHANGES))
    ablations.add_argument("--pictures", type=int, default=25_600)
    ablations.add_argument("--seed", type=int, default=0)
    killing = kinds.add_parser("kill_nine")
    killing.add_argument("--kills", type=int, default=50)
    killing.add_argument("--longest", type=float, default=1.0, help="seconds from the start of training to the kill")
    killing.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    if options.kind == "kill_nine":
        return report_kills(options)
    if options.train:
        train_missing(options.only, options.pictures, options.seed)
    if options.measure:
        measure_missing()


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
