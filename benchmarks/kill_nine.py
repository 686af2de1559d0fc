"""Kill the training command with `kill -9` at 50 random instants, and see that nothing is lost.

    python benchmarks/kill_nine.py

One run of `python -m ddpm_lib.training` on a small folder of garments is started, killed, started again, and so on; every second kill
waits for a write to begin and strikes inside it. After each kill the state on disk must be whole and must not lie behind
what was saved before; at the end the weights, the average, the optimiser, the generator and the losses must be, bit for bit,
those of the same run without a kill. The results go to `benchmarks/results/kill_nine.json`.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torchvision.utils import save_image

from ddpm_lib.data import load_images
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, load_folder, read_safetensors, resume, save_training_state, train
from ddpm_lib.unet import UNet

ROOT = Path(__file__).resolve().parent.parent
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
        "ddpm_lib.training",
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--longest", type=float, default=1.0, help="seconds from the start of training to the latest kill"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "kill_nine.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kills, lost, same = kill_often(Path(folder), options.kills, options.longest)
    about = {
        "command": "python " + " ".join(["benchmarks/kill_nine.py", *sys.argv[1:]]),
        "seed": SEED,
        "steps": STEPS,
        "machine": f"{platform.machine()}, {platform.system()}, torch {torch.__version__}",
        "lost": lost,
        "identical": same,
        "kills": kills,
    }
    options.out.write_text(json.dumps(about, indent=1) + "\n")
    print(
        f"{len(kills)} kills, {sum(k['inside a write'] for k in kills)} inside a write: lost {lost}, identical {same}"
    )
