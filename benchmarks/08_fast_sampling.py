"""Quality against model calls and against seconds, for every sampler of notebooks 06 and 08, on the shipped model.

    python -m benchmarks.08_fast_sampling                            # the whole grid but the last record, three seeds (an hour and a half on two cores)
    python -m benchmarks.08_fast_sampling --only ancestral           # the last record: Algorithm 2 with all its 1000 steps
    python -m benchmarks.08_fast_sampling --only ddim --n 100 --out build/x.json # a part of it, with fewer pictures
    python -m benchmarks.08_fast_sampling --list                     # what there is to do
    python -m benchmarks.08_fast_sampling --time                     # the seconds of every setting, on a machine that does nothing else
    python -m benchmarks.08_fast_sampling --challenge                # what the notebook's challenge puts beside the reader's sampler: two minutes

Each record goes into `benchmarks/results/08_fast_sampling.json` as soon as it is made; a record that is already there, made
by the same checkpoint with the same n and seed, is not made again. `--only` takes words of a record's name, as --list
prints it. All samplers of one seed start from the same x_T, so they can be compared in pairs; different seeds share nothing.
"""

import argparse
import json
import time
from pathlib import Path

from benchmarks.quality import distances, draw
from benchmarks.speed.measure import checkpoint_digest, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.data import data_folder
from ddpm_lib.training import best_device

FILE = RESULTS / "08_fast_sampling.json"
SETTINGS = ("sampler", "steps", "eta", "spacing", "clip", "precision")


def grid():
    """What is measured, as pairs of settings and how many seeds they get."""
    rows = [(("ddim", steps, eta, "time", True, "bfloat16"), 3) for steps in (5, 10, 20, 50) for eta in (0.0, 1.0)]
    for spacing in ("time", "quadratic", "log_snr"):
        rows += [(("dpm_solver", steps, None, spacing, True, "bfloat16"), 3) for steps in (5, 10, 20, 50)]
    rows += [(("dpm_solver", 20, None, "time", True, "float32"), 1)]
    rows += [
        (("ddim", 50, 0.0, "time", False, "bfloat16"), 1),
        (("dpm_solver", 20, None, "time", False, "bfloat16"), 1),
    ]
    rows += [(("ddim", 100, eta, "time", True, "bfloat16"), 1) for eta in (0.0, 1.0)]
    rows += [(("ancestral", 1000, None, None, True, "bfloat16"), 1)]
    return [(dict(zip(SETTINGS, row, strict=True)), seeds) for row, seeds in rows]


def name_of(record):
    """A record's settings on one line, as `--list` prints it and `--only` matches it."""
    eta, spacing = record["eta"], record["spacing"]
    parts = [record["sampler"], str(record["steps"]), "" if eta is None else f"eta={eta:g}", spacing or ""]
    return " ".join(filter(None, [*parts, "" if record["clip"] else "unclipped", record["precision"]]))


def stored(options, digest):
    """The results so far, where they are of this checkpoint."""
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    return results if results.get("checkpoint") == digest else {"records": [], "seconds": {}, "challenge": {}}


def write_results(results, options, digest):
    """Write all records in the order of the grid, the seeds of one setting side by side."""
    order = [name_of(settings) for settings, _ in grid()]
    results["records"].sort(key=lambda record: (order.index(name_of(record)), record["n"], record["seed"]))
    about = {
        "command": "python -m benchmarks.08_fast_sampling",
        "machine": made_on(best_device()),
        "checkpoint": digest,
    }
    write_json(options.out, about | results)


def to_do(results, options):
    """Settings and seed of every record that is wanted and not there."""
    done = {(name_of(record), record["n"], record["seed"]) for record in results["records"]}
    for seed in range(3):
        for settings, seeds in grid():
            name = name_of(settings)
            wanted = all(part in name.split() for part in options.only) and (
                options.only or settings["sampler"] != "ancestral"
            )
            if seed < seeds and wanted and (name, options.n, seed) not in done:
                yield settings, seed


def take_times(model, schedule, results, options, digest, count=100):
    """The seconds for a thousand pictures by every setting, from one batch of `count`, the best of three."""
    for settings, _ in grid():
        if name_of(settings) in results["seconds"] or (settings["sampler"] == "ancestral" and not options.only):
            continue
        draw(
            model, schedule, count, 0, **settings | {"steps": 2 if settings["sampler"] != "ancestral" else 1}
        )  # warm up
        times = []
        for _ in range(3 if settings["steps"] <= 100 else 1):
            start = time.perf_counter()
            draw(model, schedule, count, 0, batch=count, **settings)
            times.append(time.perf_counter() - start)
        results["seconds"][name_of(settings)] = round(min(times) * 1000 / count, 2)
        write_results(results, options, digest)
        print(f"{name_of(settings):45s} {results['seconds'][name_of(settings)]:7.1f} s", flush=True)


def measure_challenge(model, schedule, results, options, digest, n=500):
    """Our samplers with 5, 10 and 20 calls, from the noise of seed 0: what the notebook's challenge compares with."""
    chosen = [
        settings
        for settings, seeds in grid()
        if seeds == 3 and settings["steps"] <= 20 and settings["eta"] in (None, 0.0)
    ]
    found = [settings | distances(draw(model, schedule, n, 0, **settings)) for settings in chosen]
    results["challenge"] = {"n": n, "seed": 0, "records": sorted(found, key=lambda record: record["steps"])}
    write_results(results, options, digest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="pictures per record")
    parser.add_argument("--only", nargs="*", default=[], help="words; all of them must be in a record's name")
    parser.add_argument("--time", action="store_true", help="take the seconds that are missing")
    parser.add_argument("--challenge", action="store_true", help="measure what the notebook's challenge compares with")
    parser.add_argument("--list", action="store_true", help="only say what there is to do")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    digest = checkpoint_digest(data_folder() / "fashion-mnist.safetensors")
    results = stored(options, digest)
    todo = list(to_do(results, options))
    calls = sum(settings["steps"] for settings, _ in todo)
    print(f"{len(results['records'])} records are there, {len(todo)} to do, {calls} model calls a picture")
    if options.list:
        print("\n".join(f"{name_of(settings)}, seed {seed}" for settings, seed in todo))
        return
    model, schedule = load_pretrained()
    model = model.to(best_device())
    if options.time:
        return take_times(model, schedule, results, options, digest)
    if options.challenge:
        return measure_challenge(model, schedule, results, options, digest)
    for settings, seed in todo:
        verdict = distances(draw(model, schedule, options.n, seed, **settings))
        results["records"].append(settings | {"evaluations": settings["steps"], "seed": seed} | verdict)
        write_results(results, options, digest)
        print(
            f"{name_of(settings):45s} seed {seed}: {verdict['frechet']:.3f}, {verdict['second_frechet']:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
