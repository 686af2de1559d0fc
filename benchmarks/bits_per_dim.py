"""Bits per dimension of a checkpoint on a random part of the test pictures, for both variances of the sampler.

    python benchmarks/bits_per_dim.py                             # 128 pictures, 60 times each: two minutes on one core
    python benchmarks/bits_per_dim.py --n 1000 --times 200        # a smaller standard error, an hour

Both variances see the same pictures, times and noise. The results, term by term, go into `benchmarks/results/bits_per_dim.json`.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from evaluate_pretrained import RESULTS
from measure import checkpoint_digest, command, made_on

from ddpm_lib.data import data_folder, load_images
from ddpm_lib.evaluation import bits_per_dim
from ddpm_lib.training import best_device, load_checkpoint


def rounded(values):
    """Six significant digits of each, so that the file stays small."""
    return [float(f"{value:.6g}") for value in values.tolist()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=128, help="test pictures, drawn at random")
    parser.add_argument("--times", type=int, default=60, help="random times a picture, one from each stratum")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", default=data_folder() / "fashion-mnist.safetensors", type=Path)
    parser.add_argument("--out", default=RESULTS / "bits_per_dim.json", type=Path)
    options = parser.parse_args()
    model, schedule = load_checkpoint(options.checkpoint)
    device = best_device()
    pictures, _ = load_images(split="test")
    indices = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(options.seed))[: options.n]
    results = {
        "command": command(),
        "machine": made_on(device),
        "checkpoint": checkpoint_digest(options.checkpoint),
        "n": options.n,
        "times": options.times,
        "seed": options.seed,
        "indices": indices.tolist(),
        "records": [],
    }
    for variance in ("beta_tilde", "beta"):
        start = time.perf_counter()
        bits = bits_per_dim(
            model.to(device),
            schedule,
            pictures[indices].to(device),
            variance=variance,
            times=options.times,
            generator=torch.Generator().manual_seed(options.seed),
        )
        bits |= {"terms": rounded(bits["terms"]), "per_image": rounded(bits["per_image"])}
        results["records"].append({"variance": variance, "seconds": round(time.perf_counter() - start, 1)} | bits)
        print(f"{variance}: {bits['bits']:.3f} +- {bits['standard_error']:.3f} bits per dimension", flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results) + "\n")
