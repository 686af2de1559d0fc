"""Quality against model calls and against seconds, for every sampler of notebooks 06 and 08, on the shipped model.

    python -m benchmarks.08_fast_sampling                       # the whole grid but the last record (about 25 minutes on two cores)
    python -m benchmarks.08_fast_sampling --only ancestral      # the last record: Algorithm 2 with all its 1000 steps
    python -m benchmarks.08_fast_sampling --only ddim --n 100   # a part of it, with fewer pictures
    python -m benchmarks.08_fast_sampling --list                # what there is to do
    python -m benchmarks.08_fast_sampling --time                # take the seconds of all records anew (on a machine that does nothing else)

Each record goes into `benchmarks/results/08_fast_sampling.json` as soon as it is made; a record that is already there, made
by the same checkpoint with the same n and seed, is not made again. `--only` takes words of a record's name, as --list
prints it. The noise x_T of a batch depends on the seed and the batch alone, so all samplers start from the same x_T.
"""

import argparse
import contextlib
import json
import time

import torch

from benchmarks.speed.measure import checkpoint_digest, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.data import data_folder
from ddpm_lib.evaluation import image_features, real_features
from ddpm_lib.fast_sampling import ddim_sample, dpm_solver_sample
from ddpm_lib.metrics import frechet_distance, frechet_floor
from ddpm_lib.sampling import sample
from ddpm_lib.training import best_device

FILE = RESULTS / "08_fast_sampling.json"
SETTINGS = ("sampler", "steps", "eta", "spacing", "clip", "precision")


def grid():
    """What is measured: settings by record, the ones that a reader misses most first."""
    rows = [("ddim", steps, 0.0, "time", True, "bfloat16") for steps in (5, 10, 20, 50)]
    rows += [("dpm_solver", steps, None, "quadratic", True, "bfloat16") for steps in (5, 10, 20, 50)]
    rows += [("dpm_solver", steps, None, "log_snr", True, "bfloat16") for steps in (5, 10, 20)]
    rows += [("dpm_solver", steps, None, "time", True, "bfloat16") for steps in (5, 10, 20)]
    rows += [("ddim", steps, 1.0, "time", True, "bfloat16") for steps in (10, 20, 50)]
    rows += [("ddim", steps, 0.0, "quadratic", True, "bfloat16") for steps in (10, 20)]
    rows += [("ddim", 50, 0.5, "time", True, "bfloat16")]
    rows += [("ddim", 50, 0.0, "time", False, "bfloat16"), ("dpm_solver", 20, None, "time", False, "bfloat16")]
    rows += [("dpm_solver", 20, None, "time", True, "float32")]
    rows += [("ddim", 100, eta, "time", True, "bfloat16") for eta in (0.0, 1.0)]
    rows += [("ancestral", 1000, None, None, True, "bfloat16")]
    return [dict(zip(SETTINGS, row, strict=True)) for row in rows]


def name_of(record):
    """A record's settings on one line, as `--list` prints it and `--only` matches it."""
    eta, spacing = record["eta"], record["spacing"]
    parts = [record["sampler"], str(record["steps"]), "" if eta is None else f"eta={eta:g}", spacing or ""]
    return " ".join(filter(None, [*parts, "" if record["clip"] else "unclipped", record["precision"]]))


def draw(model, schedule, settings, count, generator):
    """`count` pictures by the sampler of `settings`."""
    shape, steps = (count, 1, 28, 28), settings["steps"]
    common = {"generator": generator, "clip": settings["clip"], "progress": False}
    if settings["sampler"] == "ancestral":
        return sample(model, schedule, shape, **common)
    common["spacing"] = settings["spacing"]
    if settings["sampler"] == "ddim":
        return ddim_sample(model, schedule, shape, steps, settings["eta"], **common)
    return dpm_solver_sample(model, schedule, shape, steps, **common)


def draw_in_batches(model, schedule, settings, n, batch, seed):
    """`n` pictures `(n, 1, 28, 28)` in batches, and the seconds that they took."""
    device = next(model.parameters()).device
    half = settings["precision"] == "bfloat16"
    precision = torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext()
    pictures, seconds = [], 0.0
    with precision, torch.no_grad():
        model(torch.zeros(batch, 1, 28, 28, device=device), torch.ones(batch, dtype=torch.int64))  # warm up
        for k, first in enumerate(range(0, n, batch)):
            generator = torch.Generator().manual_seed(seed + k)
            start = time.perf_counter()
            pictures.append(draw(model, schedule, settings, min(batch, n - first), generator).cpu())
            seconds += time.perf_counter() - start
    return torch.cat(pictures), seconds


def timed(seconds, n, pictures):
    """The part of a record that says how fast: `seconds` for `pictures` of them, so many for all n."""
    speed = {"seconds": round(seconds * n / pictures, 2), "images_per_second": round(pictures / seconds, 2)}
    return speed | {"threads": torch.get_num_threads(), "timed_pictures": pictures}


def measure(model, schedule, settings, n, batch, seed):
    """Draw n pictures in batches and return the record: how long it took, and how good they are."""
    pictures, seconds = draw_in_batches(model, schedule, settings, n, batch, seed)
    reference, unseen = real_features()
    frechet = frechet_distance(image_features(pictures.clamp(-1, 1)), reference)
    floor = frechet_floor(n, reference, unseen)
    evaluations = settings["steps"]  # every one of these samplers calls the model once a step
    return (
        settings
        | {"evaluations": evaluations, "n": n, "seed": seed, "batch": batch}
        | timed(seconds, n, n)
        | {"frechet": round(frechet, 4), "floor": round(floor, 4), "ratio": round(frechet / floor, 3)}
    )


def load_records(digest, n, seed):
    """The records of earlier runs that still count: of this checkpoint, n and seed, and still in the grid."""
    stored = json.loads(FILE.read_text()) if FILE.exists() else {}
    if stored.get("checkpoint") != digest:
        return []
    wanted = {name_of(settings) for settings in grid()}
    return [r for r in stored["records"] if r["n"] == n and r["seed"] == seed and name_of(r) in wanted]


def write_results(records, digest, n, seed):
    """Write all records in the order of the grid."""
    order = [name_of(settings) for settings in grid()]
    command = f"python -m benchmarks.08_fast_sampling --n {n} --seed {seed}"
    results = {"command": command, "machine": made_on(best_device()), "checkpoint": digest}
    results["records"] = sorted(records, key=lambda record: order.index(name_of(record)))
    write_json(FILE, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="pictures per record")
    parser.add_argument("--batch", type=int, default=100, help="pictures at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="words; all of them must be in a record's name")
    parser.add_argument("--time", action="store_true", help="take the seconds anew, on one batch of each record")
    parser.add_argument("--list", action="store_true", help="only say what there is to do")
    options = parser.parse_args()
    digest = checkpoint_digest(data_folder() / "fashion-mnist.safetensors")
    records = load_records(digest, options.n, options.seed)
    done = {name_of(record) for record in records}
    todo = [s for s in grid() if name_of(s) not in done and all(part in name_of(s).split() for part in options.only)]
    if not options.only:
        todo = [settings for settings in todo if settings["sampler"] != "ancestral"]
    print(f"{len(done)} records are there, {len(todo)} to do, {sum(s['steps'] for s in todo)} model calls a picture")
    if options.list:
        print("\n".join(name_of(settings) for settings in todo))
        return
    model, schedule = load_pretrained()
    model = model.to(best_device())
    for record in records if options.time else []:
        settings = {name: record[name] for name in SETTINGS}
        record |= timed(
            draw_in_batches(model, schedule, settings, options.batch, options.batch, 0)[1], options.n, options.batch
        )
        write_results(records, digest, options.n, options.seed)
        print(f"{name_of(record):45s} {record['seconds']:7.1f} s", flush=True)
    for settings in [] if options.time else todo:
        record = measure(model, schedule, settings, options.n, options.batch, options.seed)
        records.append(record)
        write_results(records, digest, options.n, options.seed)
        print(f"{name_of(record):45s} {record['seconds']:7.1f} s   {record['ratio']:7.2f} floors", flush=True)


if __name__ == "__main__":
    main()
