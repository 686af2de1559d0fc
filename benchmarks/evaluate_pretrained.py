"""Draw n pictures with a checkpoint, measure them with `ddpm_lib.evaluation.evaluate`, and keep the record.

    python benchmarks/evaluate_pretrained.py --keep       # 1,000 pictures by DDIM in 50 steps; the pictures too, for notebook 09
    python benchmarks/evaluate_pretrained.py --n 10000 --sampler dpm_solver --steps 20 --spacing quadratic
    python benchmarks/evaluate_pretrained.py --checkpoint runs/mine/model.safetensors --out runs/quality.json

The record is added to `benchmarks/results/quality.json`, in the place of an earlier one with the same settings and checkpoint.
With --keep the pictures go into `benchmarks/results/samples.safetensors`, as bytes.
"""

import argparse
import contextlib
import json
import time
from pathlib import Path

import torch
from measure import checkpoint_digest, command, made_on, write_json
from tqdm import tqdm

from ddpm_lib.data import data_folder
from ddpm_lib.evaluation import evaluate
from ddpm_lib.fast_sampling import ddim_sample, dpm_solver_sample
from ddpm_lib.sampling import sample
from ddpm_lib.training import best_device, load_checkpoint, write_safetensors

RESULTS = Path(__file__).resolve().parent / "results"


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


def add_record(path, record, same):
    """Add a record to a JSON list, in the place of those that agree with it in the fields `same`."""
    records = json.loads(path.read_text()) if path.exists() else []
    records = [old for old in records if any(old.get(field) != record.get(field) for field in same)] + [record]
    write_json(path, records)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="pictures, 10 to 10,000")
    parser.add_argument("--sampler", choices=("ddim", "dpm_solver", "ancestral"), default="ddim")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--eta", type=float, default=0.0, help="for ddim")
    parser.add_argument("--spacing", default="time", help="for ddim and dpm_solver: time, quadratic or log_snr")
    parser.add_argument("--variance", default="beta_tilde", help="for ancestral: beta_tilde or beta")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="bfloat16: autocast")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default=data_folder() / "fashion-mnist.safetensors", type=Path)
    parser.add_argument("--out", default=RESULTS / "quality.json", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep the pictures for notebook 09")
    options = parser.parse_args()
    model, schedule = load_checkpoint(options.checkpoint)
    start = time.perf_counter()
    pictures = draw(model.to(best_device()), schedule, options)
    seconds = time.perf_counter() - start
    settings = {"checkpoint": checkpoint_digest(options.checkpoint)} | settings_of(options, schedule)
    about = {"command": command(), "sampling_seconds": round(seconds, 1), "machine": made_on(best_device())}
    record = settings | evaluate(pictures) | about
    add_record(options.out, record, settings)
    if options.keep:
        pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        notes = {name: json.dumps(value) for name, value in (settings | about).items()}
        write_safetensors(RESULTS / "samples.safetensors", {"pixels": pixels}, {"kind": "samples"} | notes)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
