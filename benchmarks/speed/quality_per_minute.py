"""Quality against minutes of training on this machine, from nothing: the library's own command beside its peers' own recipes.

    python -m benchmarks.speed.quality_per_minute                        # whatever is missing: about six hours, on a machine that does nothing else
    python -m benchmarks.speed.quality_per_minute --only ddpm_lib --minutes 1 3
    python -m benchmarks.speed.quality_per_minute --list                 # what there is to do
    python -m benchmarks.speed.quality_per_minute --only                 # measure nothing, draw the figure again

The library: `python -m ddpm_lib train --minutes M --seed S`, the whole command by the clock. A peer: the network, loss, optimiser and
average of peers.py, from the making of the network until the minutes are over, in the same precision, on the same pictures. Each then draws
1000 pictures in 50 evaluations by its own sampler, without fresh noise (DDIM, eta = 0) and with (eta = 1), and both rulers measure them.
Every row goes into results/quality_per_minute.json as soon as it is there; what is there is not made again.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
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


def our_row(minutes, seed, n):
    """Run the command, then draw with what it wrote."""
    out = RUNS / f"{minutes}-minutes-seed-{seed}"
    words = ["train", "--minutes", str(minutes), "--seed", str(seed), "--out", str(out)]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ddpm_lib", *words], cwd=ROOT, check=True)
    seconds, state = time.perf_counter() - start, resume(out / "training.safetensors")
    model, schedule = load_checkpoint(out / "model.safetensors")
    precision = state.settings["precision"]
    row = {"seconds": round(seconds, 1), "steps": state.step, "settings": state.settings}
    row |= {"network": "UNet, base 32 (1, 2, 3)", "parameters": sum(p.numel() for p in model.parameters())}
    for eta in (0.0, 1.0):
        pictures = draw(model, schedule, n, seed, "ddim", 50, eta=eta, spacing="time", precision=precision)
        row[f"eta {eta:g}"] = distances(pictures)
    return row


def peer_row(name, minutes, seed, n):
    """Train a peer for those minutes in this process, then draw with it."""
    images, _ = load_images()
    torch.manual_seed(seed)
    start = time.perf_counter()
    build = {"averaged": True} if name == "smalldiffusion" else {}
    peer = PEERS[name](images, BATCHES[name], best_precision("cpu"), **build)
    torch.manual_seed(seed)
    steps = 0
    while time.perf_counter() - start < 60 * minutes:
        peer.step()
        steps += 1
    row = {
        "seconds": round(time.perf_counter() - start, 1),
        "steps": steps,
        "network": peer.network,
        "parameters": peer.parameters,
    }
    row["settings"] = {"batch_size": BATCHES[name], "precision": best_precision("cpu")}
    for eta in (0.0, 1.0):
        torch.manual_seed(seed)
        pictures = torch.cat([peer.sample(count, 50, eta) for count in [100] * (n // 100) + [n % 100] if count])
        row[f"eta {eta:g}"] = distances(pictures)
    return row


def draw_figure(results, path):
    """Distance over minutes: ours for every seed and their mean, each peer's one run, floor and noise."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = results["rows"]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    for axis, eta in zip(axes, ("eta 0", "eta 1"), strict=True):
        ours = [r for r in rows if r["name"] == OURS]
        minutes = sorted({r["minutes"] for r in ours})
        means = [[r[eta]["frechet"] for r in ours if r["minutes"] == m] for m in minutes]
        axis.loglog([r["minutes"] for r in ours], [r[eta]["frechet"] for r in ours], "C0o", markersize=4, alpha=0.6)
        axis.loglog(minutes, [sum(m) / len(m) for m in means], "C0-", label="this library, mean of its seeds")
        for k, name in enumerate(BATCHES):
            found = [r for r in rows if r["name"] == name]
            axis.loglog(
                [r["minutes"] for r in found],
                [r[eta]["frechet"] for r in found],
                f"C{k + 1}{'s^D'[k]}",
                label=f"{name}, one seed",
            )
        axis.axhline(rows[0][eta]["floor"], color="0.5", linestyle=":", label="real pictures (floor)")
        axis.axhline(results["ceiling"], color="0.5", linestyle="--", label="pure noise")
        axis.set_xticks(minutes, [f"{m:g}" for m in minutes])
        axis.set_xticks([], minor=True)
        axis.set(xlabel="minutes of training", title=f"DDIM, 50 evaluations, η = {eta[4:]}")
    axes[0].set_ylabel(f"Fréchet distance, n = {rows[0][eta]['n']}")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[OURS, *BATCHES], default=[OURS, *BATCHES], metavar="NAME")
    parser.add_argument("--minutes", type=float, nargs="*", help="only runs of so many minutes")
    parser.add_argument("--n", type=int, default=1000, help="pictures drawn with each")
    parser.add_argument("--list", action="store_true", help="only say what there is to do")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else {"rows": []}
    done = {(row["name"], row["minutes"], row["seed"]) for row in results["rows"]}
    todo = [row for row in plan() if row not in done and row[0] in options.only]
    todo = [row for row in todo if not options.minutes or row[1] in options.minutes]
    print(
        f"{len(done)} rows are there, to do: {', '.join(f'{name} {minutes} min, seed {seed}' for name, minutes, seed in todo)}"
    )
    if options.list:
        return
    for name, minutes, seed in todo:
        row = our_row(minutes, seed, options.n) if name == OURS else peer_row(name, minutes, seed, options.n)
        row = (
            {"name": name, "minutes": minutes, "seed": seed}
            | row
            | {"load_average": load_average(), "machine": made_on()}
        )
        ceiling = distances(torch.randn(options.n, 1, 28, 28, generator=torch.Generator().manual_seed(0)))["frechet"]
        results |= {"command": command(), "versions": versions(), "evaluations": 50, "ceiling": ceiling}
        results["rows"].append(row)
        write_json(options.out, results)
        print(
            f"{name}, {minutes} min, seed {seed}: {row['seconds']} s, {row['eta 0']['frechet']} and {row['eta 1']['frechet']}",
            flush=True,
        )
    if results["rows"]:
        draw_figure(results, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
