"""What notebook 11 cites, into `results/11_guidance.json`: fidelity and variety of guided pictures at several scales.

    python -m benchmarks.11_guidance                        # five scales, 2,000 pictures each, three seeds: 1.1 million pictures through the network
    python -m benchmarks.11_guidance --seed 0 --scale 1 2   # a part of it
    python -m benchmarks.11_guidance --real                 # what real pictures get: seconds
    python -m benchmarks.11_guidance --frames               # the notebook's first slider: ten classes from one noise at nine scales

Two hundred pictures of each class, by DPM-Solver++ in 20 steps, all from one generator a seed; the same x_T at every scale. `in_class` is the
share that the second ruler's classifier puts into the class that was asked for. A record that is there, made by the same checkpoint with the
same n, scale and seed, is not made again. Without a GPU each core draws a record of its own.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import torch

from benchmarks.quality import draw
from benchmarks.speed.measure import checkpoint_digest, command, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_pretrained, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.evaluation import CLASSIFIER_TRAINING, as_pictures, evaluate, real_pictures, second_classifier
from ddpm_lib.fast_sampling import dpm_solver_sample
from ddpm_lib.guidance import Guided
from ddpm_lib.sampling import Batched
from ddpm_lib.training import best_device, best_precision

FILE, SCALES, STEPS = RESULTS / "11_guidance.json", (1.0, 1.5, 2.0, 3.0, 5.0), 20
MEASURES = (
    "frechet",
    "floor",
    "second_frechet",
    "second_floor",
    "precision",
    "recall",
    "precision_real",
    "recall_real",
)


def classes_of(n):
    """The class of each of n pictures: all ten in turn."""
    return torch.arange(n) % 10


def draw_classes(task):
    """The guided pictures of a record `(n, seed, scale)`, `(n, 1, 28, 28)` on the CPU, clipped; runs in a process of its own where there is no GPU."""
    n, seed, scale = task
    device = best_device()
    if device == "cpu":
        torch.set_num_threads(1)
    model, schedule = load_pretrained("fashion-mnist-classes")
    asked = Guided(Batched(model.to(device), 32 if device == "cpu" else 1000), classes_of(n), scale).to(device)
    pictures = draw(
        asked, schedule, n, seed, "dpm_solver", STEPS, spacing="time", precision=best_precision(device), batch=n
    )
    return task, pictures.clamp(-1, 1)


@torch.no_grad()
def share_in_class(pictures, labels):
    """The share of the pictures that the second ruler's classifier puts into their own class."""
    said = torch.cat([second_classifier()(some).argmax(1) for some in as_pictures("pictures", pictures).split(500)])
    return (said == labels).double().mean().item()


def measured(pictures, labels):
    """Both distances with their floors, precision and recall, and the share in the class."""
    found = evaluate(pictures)
    return {name: round(found[name], 4) for name in MEASURES} | {"in_class": round(share_in_class(pictures, labels), 4)}


def measure_real(n):
    """The same of n real pictures that no classifier has seen."""
    labels = load_images()[1][CLASSIFIER_TRAINING:][:n]
    return measured(real_pictures()[1][:n], labels) | {"n": n}


def write_frames(model, schedule, path, seed=12):
    """Ten classes from one noise at the scales of the notebook's first slider, as bytes."""
    scales, device = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0], next(model.parameters()).device
    x_T = torch.randn(1, 1, 28, 28, generator=torch.Generator().manual_seed(seed)).expand(10, -1, -1, -1).to(device)
    ways = [Guided(model, torch.arange(10, device=device), scale) for scale in scales]
    frames = torch.stack([dpm_solver_sample(way, schedule, x_T.shape, STEPS, x_T=x_T).cpu() for way in ways])
    pixels = ((frames.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    about = {
        "kind": "samples",
        "command": command(),
        "machine": json.dumps(made_on(device)),
        "seed": str(seed),
        "evaluations": str(2 * STEPS),
    }
    write_safetensors(path, {"pixels": pixels, "scales": torch.tensor(scales)}, about)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="pictures a record, a tenth of them of each class")
    parser.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--scale", type=float, nargs="*", default=SCALES)
    parser.add_argument("--real", action="store_true", help="measure real pictures only")
    parser.add_argument("--frames", action="store_true", help="draw the frames of the first slider only")
    parser.add_argument("--processes", type=int, help="without a GPU; all cores by default")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    digest = checkpoint_digest(data_folder() / "fashion-mnist-classes.safetensors")
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    if results.get("checkpoint") != digest:
        results = {"scales": []}
    results |= {"command": command(), "machine": made_on(best_device()), "checkpoint": digest}
    if options.real or results.get("real", {}).get("n") != options.n:
        results["real"] = measure_real(options.n)
        write_json(options.out, results)
    done = {(record["n"], record["scale"], record["seed"]) for record in results["scales"]}
    model, schedule = load_pretrained("fashion-mnist-classes")
    model = model.to(best_device())
    if options.frames:
        write_frames(model, schedule, options.out.with_suffix(".safetensors"))
    tasks = [
        (options.n, seed, scale)
        for seed in options.seed
        for scale in options.scale
        if (options.n, scale, seed) not in done
    ]
    if options.real or options.frames or not tasks:
        return
    with multiprocessing.get_context("spawn").Pool(options.processes if best_device() == "cpu" else 1) as pool:
        for (n, seed, scale), pictures in pool.imap_unordered(draw_classes, tasks):
            record = {"n": n, "scale": scale, "seed": seed, "sampler": "DPM-Solver++, even in t", "steps": STEPS}
            record |= {"evaluations": STEPS if scale == 1 else 2 * STEPS}
            record |= measured(pictures, classes_of(n))
            results["scales"] = sorted([*results["scales"], record], key=lambda r: (r["n"], r["scale"], r["seed"]))
            write_json(options.out, results)
            print(record, flush=True)


if __name__ == "__main__":
    main()
