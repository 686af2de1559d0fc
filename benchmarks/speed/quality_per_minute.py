"""Quality against minutes of training on this machine, from nothing: the library's own command beside its peers' own recipes.

    python -m benchmarks.speed.quality_per_minute                        # whatever is missing: about six hours, on a machine that does nothing else
    python -m benchmarks.speed.quality_per_minute --only ddpm_lib --minutes 1 3
    python -m benchmarks.speed.quality_per_minute --list                 # what there is to do

The library: `python -m ddpm_lib train --minutes M --seed S`, the whole command by the clock. A peer: the network, loss, optimiser and
average of peers.py, from its first step until the minutes are over, in the same precision, on the same pictures. First all of
them train, one at a time, with every core; then, a core each, they draw 1000 pictures in 50 evaluations by their own samplers, without fresh
noise (DDIM, eta = 0) and with (eta = 1), and both rulers measure them. Rows and figures go into results/quality_per_minute.json as soon as
they are there, the weights into runs/; what is there is not made again, and rows of two machines are not mixed. Notebook 07 shows them.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.quality import distances, draw
from benchmarks.speed.measure import command, load_average, made_on, versions, write_json
from benchmarks.speed.peers import OURS, PEERS
from course.lessons import RESULTS, ROOT
from ddpm_lib.checkpoint import load_checkpoint
from ddpm_lib.data import load_images
from ddpm_lib.training import best_precision, resume

FILE, RUNS = RESULTS / "quality_per_minute.json", ROOT / "runs" / "quality_per_minute"
BATCHES = {
    "diffusers": 64,
    "denoising-diffusion-pytorch": 32,
    "smalldiffusion": 64,
}  # smalldiffusion's example has 1024, for a GPU


def plan():
    """Who trains for how many minutes with how many seeds, the cheap rows first."""
    rows = [(OURS, minutes, seed) for minutes in (1, 3, 10) for seed in (0, 1, 2)]
    rows += [(peer, 10, 0) for peer in BATCHES]
    return rows + [(OURS, 30, 0), (OURS, 120, 0)]


def folder(name, minutes, seed):
    """Where a run keeps what it trained."""
    return RUNS / f"{name}-{minutes:g}-minutes-seed-{seed}"


def train_ours(minutes, seed, out):
    """Run the command."""
    words = ["train", "--minutes", str(minutes), "--seed", str(seed), "--out", str(out)]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ddpm_lib", *words], cwd=ROOT, check=True)
    seconds, state = time.perf_counter() - start, resume(out / "training.safetensors")
    row = {"seconds": round(seconds, 1), "steps": state.step, "network": "UNet, base 32 (1, 2, 3)"}
    return row | {"parameters": sum(p.numel() for p in state.model.parameters()), "settings": state.settings}


def build_peer(name, images, seed, precision):
    torch.manual_seed(seed)
    extra = {"averaged": True} if name == "smalldiffusion" else {}
    return PEERS[name](images, BATCHES[name], precision, **extra)


def train_peer(name, minutes, seed, out):
    """Train a peer for those minutes in this process, and keep the weights that it draws with."""
    images, _ = load_images()
    peer = build_peer(name, images, seed, best_precision("cpu"))
    torch.manual_seed(seed)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < 60 * minutes:
        peer.step()
        steps += 1
    seconds = time.perf_counter() - start
    out.mkdir(parents=True, exist_ok=True)
    torch.save(peer.drawn_with.state_dict(), out / "weights.pt")
    row = {"seconds": round(seconds, 1), "steps": steps, "network": peer.network, "parameters": peer.parameters}
    return row | {"settings": {"batch_size": BATCHES[name], "precision": best_precision("cpu")}}


def pictures_of(task):
    """The number of a row, an eta, and `n` pictures drawn with what the row trained, in 50 evaluations, on one thread."""
    number, row, out, eta, n = task
    torch.set_num_threads(1)
    seed, precision = row["seed"], row["settings"]["precision"]
    if row["name"] == OURS:
        model, schedule = load_checkpoint(out / "model.safetensors")
        return number, eta, draw(model, schedule, n, seed, "ddim", 50, eta, "time", precision=precision, batch=32)
    peer = build_peer(row["name"], load_images(limit=1)[0], seed, precision)
    peer.drawn_with.load_state_dict(torch.load(out / "weights.pt"))
    torch.manual_seed(seed)
    return number, eta, torch.cat([peer.sample(min(40, n - k), 50, eta) for k in range(0, n, 40)])


def runs_of(rows, wanted):
    """The number, the row and the folder of those wanted rows whose weights are still there, the longest trainings first."""
    found = [(k, row, folder(*key(row))) for k, row in enumerate(rows) if key(row) in wanted]
    return sorted([run for run in found if run[2].exists()], key=lambda run: -run[1]["minutes"])


def key(row):
    return row["name"], row["minutes"], row["seed"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[OURS, *BATCHES], default=[OURS, *BATCHES], metavar="NAME")
    parser.add_argument("--minutes", type=float, nargs="*", help="only runs of so many minutes")
    parser.add_argument(
        "--eta", type=int, nargs="*", choices=(0, 1), default=(0, 1), help="draw only with so much noise"
    )
    parser.add_argument("--n", type=int, default=1000, help="pictures drawn with each")
    parser.add_argument("--list", action="store_true", help="only say what there is to do")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"rows": []}
    if any(row["machine"] != made_on() for row in results["rows"]):
        parser.error(
            f"{options.out} has rows of another machine, whose minutes are others: choose another --out, or remove it"
        )
    results["rows"] = [r for r in results["rows"] if folder(*key(r)).exists() or "eta 0" in r or "eta 1" in r]
    done = {key(row) for row in results["rows"]}
    wanted = [row for row in plan() if row[0] in options.only and (not options.minutes or row[1] in options.minutes)]
    todo = [row for row in wanted if row not in done]
    names = ", ".join(f"{name} {minutes} min, seed {seed}" for name, minutes, seed in todo)
    print(f"{len(done)} rows are there, to do: {names}")
    if options.list:
        return
    for name, minutes, seed in todo:
        out = folder(name, minutes, seed)
        row = train_ours(minutes, seed, out) if name == OURS else train_peer(name, minutes, seed, out)
        about = {"command": command(), "load_average": load_average(), "machine": made_on()}
        results["rows"].append({"name": name, "minutes": minutes, "seed": seed} | row | about)
        results |= {"versions": versions(), "evaluations": 50}
        write_json(options.out, results)
        print(f"{name}, {minutes} min, seed {seed}: {row['steps']} steps in {row['seconds']} s", flush=True)
    if "ceiling" not in results:
        noise = torch.randn(options.n, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        results["ceiling"] = distances(noise)["frechet"]
    runs = runs_of(results["rows"], wanted)
    tasks = [(*run, eta, options.n) for eta in options.eta for run in runs if f"eta {eta}" not in run[1]]
    with multiprocessing.get_context("spawn").Pool() as pool:  # its end is the workers' end, too
        for number, eta, pictures in pool.imap_unordered(pictures_of, tasks):
            row = results["rows"][number]
            row[f"eta {eta}"] = distances(pictures)
            write_json(options.out, results)
            print(
                f"{row['name']}, {row['minutes']} min, seed {row['seed']}, eta {eta}: {row[f'eta {eta}']}", flush=True
            )


if __name__ == "__main__":
    main()
