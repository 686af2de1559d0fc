"""What notebook 09 cites, into `results/09_evaluation.json`: n pictures drawn with a checkpoint and measured, and bits per dimension.

    python -m benchmarks.09_evaluation quality --keep       # 1,000 pictures by DDIM in 50 steps; the pictures too
    python -m benchmarks.09_evaluation quality --n 10000 --sampler dpm_solver --steps 20 --spacing quadratic
    python -m benchmarks.09_evaluation quality --checkpoint runs/fashion-mnist/model.safetensors --section from_nothing
    python -m benchmarks.09_evaluation bits                             # 128 pictures, 60 times each: two minutes on one core
    python -m benchmarks.09_evaluation bits --n 1000 --times 200        # a smaller standard error, an hour

A record of `quality` takes the place of an earlier one with the same settings and checkpoint; with --keep the pictures go into
`results/09_evaluation.safetensors`, as bytes. `bits` takes a random part of the test pictures; both variances of the sampler see the
same pictures, times and noise.
"""

import argparse
import contextlib
import json
import time
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.speed.measure import checkpoint_digest, command, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_checkpoint, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.evaluation import evaluate
from ddpm_lib.fast_sampling import ddim_sample, dpm_solver_sample
from ddpm_lib.metrics import bits_per_dim
from ddpm_lib.sampling import sample
from ddpm_lib.training import best_device


def draw(model, schedule, options):
    """`options.n` pictures `(n, 1, 28, 28)`, in batches; batch k starts from the generator with seed `options.seed + k`."""
    device, pictures = next(model.parameters()).device, []
    half = options.precision == "bfloat16"
    for k in tqdm(range(-(-options.n // options.batch)), desc="batches"):
        shape = (min(options.batch, options.n - k * options.batch), 1, 28, 28)
        common = {"generator": torch.Generator().manual_seed(options.seed + k), "progress": False}
        with torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext():
            if options.sampler == "ancestral":
                batch = sample(model, schedule, shape, variance=options.variance, **common)
            elif options.sampler == "ddim":
                batch = ddim_sample(
                    model, schedule, shape, options.steps, options.eta, spacing=options.spacing, **common
                )
            else:
                batch = dpm_solver_sample(model, schedule, shape, options.steps, spacing=options.spacing, **common)
        pictures.append(batch.float().cpu())
    return torch.cat(pictures)


def settings_of(options, schedule):
    """Those settings that matter for the chosen sampler."""
    settings = {"n": options.n, "sampler": options.sampler, "dtype": options.precision}
    settings |= {"seed": options.seed, "batch": options.batch}
    if options.sampler == "ancestral":
        return settings | {"steps": schedule.T, "variance": options.variance}
    if options.sampler == "ddim":
        settings["eta"] = options.eta
    return settings | {"steps": options.steps, "spacing": options.spacing}


def add_record(path, section, record, same):
    """Add a record to a section of the results, in the place of those that agree with it in the fields `same`."""
    results = json.loads(path.read_text()) if path.exists() else {}
    others = [old for old in results.get(section, []) if any(old.get(field) != record.get(field) for field in same)]
    write_json(path, results | {section: [*others, record]})


def measure_quality(options):
    model, schedule = load_checkpoint(options.checkpoint)
    start = time.perf_counter()
    pictures = draw(model.to(best_device()), schedule, options)
    seconds = time.perf_counter() - start
    settings = {"checkpoint": checkpoint_digest(options.checkpoint)} | settings_of(options, schedule)
    about = {"command": command(), "sampling_seconds": round(seconds, 1), "machine": made_on(best_device())}
    record = settings | evaluate(pictures) | about
    add_record(options.out, options.section, record, settings)
    if options.keep:
        pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        notes = {name: json.dumps(value) for name, value in (settings | about).items()}
        write_safetensors(options.out.with_suffix(".safetensors"), {"pixels": pixels}, {"kind": "samples"} | notes)
    print(json.dumps(record, indent=1))


def rounded(values):
    """Six significant digits of each, so that the file stays small."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def measure_bits(options):
    model, schedule = load_checkpoint(options.checkpoint)
    device, seed = best_device(), options.seed
    pictures, _ = load_images(split="test")
    indices = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))[: options.n]
    bits = {"command": command(), "machine": made_on(device), "checkpoint": checkpoint_digest(options.checkpoint)}
    bits |= {"n": options.n, "times": options.times, "seed": seed, "indices": indices.tolist(), "records": []}
    for variance in ("beta_tilde", "beta"):
        start, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
        chosen = pictures[indices].to(device)
        found = bits_per_dim(model.to(device), schedule, chosen, variance, times=options.times, generator=generator)
        found |= {"terms": rounded(found["terms"]), "per_image": rounded(found["per_image"])}
        bits["records"].append({"variance": variance, "seconds": round(time.perf_counter() - start, 1)} | found)
        print(f"{variance}: {found['bits']:.3f} +- {found['standard_error']:.3f} bits per dimension", flush=True)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    write_json(options.out, results | {"bits": bits})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    quality, bits = kinds.add_parser("quality"), kinds.add_parser("bits")
    quality.set_defaults(measure=measure_quality)
    quality.add_argument("--n", type=int, default=1000, help="pictures, 10 to 10,000")
    quality.add_argument("--sampler", choices=("ddim", "dpm_solver", "ancestral"), default="ddim")
    quality.add_argument("--steps", type=int, default=50)
    quality.add_argument("--eta", type=float, default=0.0, help="for ddim")
    quality.add_argument("--spacing", default="time", help="for ddim and dpm_solver: time, quadratic or log_snr")
    quality.add_argument("--variance", default="beta_tilde", help="for ancestral: beta_tilde or beta")
    quality.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="bfloat16: autocast")
    quality.add_argument("--batch", type=int, default=100)
    quality.add_argument("--section", default="quality", help="of the results")
    quality.add_argument("--keep", action="store_true", help="keep the pictures for notebook 09")
    bits.set_defaults(measure=measure_bits)
    bits.add_argument("--n", type=int, default=128, help="test pictures, drawn at random")
    bits.add_argument("--times", type=int, default=60, help="random times a picture, one from each stratum")
    for kind in (quality, bits):
        kind.add_argument("--seed", type=int, default=0)
        kind.add_argument("--checkpoint", default=data_folder() / "fashion-mnist.safetensors", type=Path)
        kind.add_argument("--out", default=RESULTS / "09_evaluation.json", type=Path)
    options = parser.parse_args()
    options.measure(options)


if __name__ == "__main__":
    main()
