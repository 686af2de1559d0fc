"""What notebook 09 cites, into `results/09_evaluation.json`: both rulers tested, n pictures drawn with a checkpoint and measured, attention switched off, bits per dimension.

    python -m benchmarks.09_evaluation rulers                           # spoilt real pictures by both rulers, floors and ceilings: minutes
    python -m benchmarks.09_evaluation quality --keep                   # 1,000 pictures by DDIM in 50 steps; the pictures too
    python -m benchmarks.09_evaluation quality --n 10000 --sampler dpm_solver --steps 20 --seed 0 1 2 --section headline
    python -m benchmarks.09_evaluation quality --checkpoint runs/fashion-mnist/model.safetensors --section from_nothing
    python -m benchmarks.09_evaluation attention                        # what the loss and the rulers see of it: ten minutes
    python -m benchmarks.09_evaluation bits                             # 128 pictures, 60 times each: two minutes on one core
    python -m benchmarks.09_evaluation bits --n 1000 --times 200        # a smaller standard error, an hour

A record of `quality` takes the place of an earlier one with the same settings and checkpoint; with --keep the pictures of the last seed go
into `results/09_evaluation.safetensors`, as bytes. `bits` takes a random part of the test pictures; both variances of the sampler see the
same pictures, times and noise.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from torchvision.transforms.functional import gaussian_blur

from benchmarks.quality import distances, draw
from benchmarks.speed.measure import checkpoint_digest, command, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_checkpoint, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.evaluation import CLASSIFIER_TRAINING, evaluate
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.metrics import bits_per_dim
from ddpm_lib.sampling import Batched
from ddpm_lib.training import best_device, stratified_times


def settings_of(options, schedule):
    """Those settings that matter for the chosen sampler, as `benchmarks.quality.draw` takes them."""
    settings = {"sampler": options.sampler, "precision": options.precision}
    if options.sampler == "ancestral":
        return settings | {"steps": schedule.T}
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
    model, settings = model.to(best_device()), settings_of(options, schedule)
    for seed in options.seed:
        start = time.perf_counter()
        pictures = draw(model, schedule, options.n, seed, **settings).clamp(-1, 1)
        about = {
            "command": command(),
            "sampling_seconds": round(time.perf_counter() - start, 1),
            "machine": made_on(best_device()),
        }
        made = {"checkpoint": checkpoint_digest(options.checkpoint), "n": options.n, "seed": seed} | settings
        record = made | evaluate(pictures) | about
        add_record(options.out, options.section, record, made)
        print(
            json.dumps(
                {name: record[name] for name in ("seed", "n", "frechet", "floor", "second_frechet", "second_floor")}
            ),
            flush=True,
        )
    if options.keep:
        pixels = ((pictures + 1) * 127.5).round().to(torch.uint8)
        notes = {name: json.dumps(value) for name, value in (made | about).items()}
        write_safetensors(options.out.with_suffix(".safetensors"), {"pixels": pixels}, {"kind": "samples"} | notes)


def spoilt(pictures, labels, seed):
    """name -> the pictures, spoilt in a way that one understands."""
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(seed))
    damage = {"untouched": pictures, "pure noise": noise}
    damage |= {f"grey noise of {sigma}": pictures + sigma * noise for sigma in (0.02, 0.04, 0.08, 0.16, 0.32)}
    damage |= {f"blurred by {sigma} pixels": gaussian_blur(pictures, 9, sigma) for sigma in (0.5, 0.7, 1.0, 2.0)}
    damage |= {f"black lifted by {share:.0%}": pictures.clamp(min=2 * share - 1) for share in (0.02, 0.05, 0.1)}
    damage |= {"shifted by one pixel": pictures.roll(1, -1), "all mirrored": pictures.flip(-1)}
    damage["half of them mirrored"] = torch.cat([pictures[::2].flip(-1), pictures[1::2]])
    damage["no shirts"], damage["no bags"] = pictures[labels != 6], pictures[labels != 8]
    damage["three quarters of the contrast"] = (pictures + 1) * 0.75 - 1
    damage["a tenth of them, ten times each"] = pictures[: len(pictures) // 10].repeat(10, 1, 1, 1)
    return damage


def measure_rulers(options):
    """Both rulers on real pictures that are spoilt, 1000 at a time (three sets that share no picture), and their floors and ceilings."""
    (images, labels), records = load_images(), []
    unseen, labels = images[CLASSIFIER_TRAINING:], labels[CLASSIFIER_TRAINING:]
    for n, sets in ((1000, 3), (10_000, 1)):
        for k in range(sets):
            own = slice(k * n, (k + 1) * n)
            damage = spoilt(unseen[own], labels[own], k)
            for name in damage if n == 1000 else ("untouched", "pure noise"):
                records.append({"damage": name, "set": k} | distances(damage[name]))
                print(records[-1], flush=True)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    write_json(options.out, results | {"rulers": {"command": command(), "machine": made_on(), "records": records}})


def without_attention(model):
    """A copy of the model whose attention blocks are skipped."""
    model = copy.deepcopy(model)
    for block in [module for module in model.modules() if hasattr(module, "attention")]:
        block.attention = torch.nn.Identity()
    return model


def measure_attention(options):
    """The shipped model and a copy without attention: the loss on test pictures with the same noise, and both rulers, same x_T."""
    model, schedule = load_checkpoint(options.checkpoint)
    networks, records = {"whole": model, "attention skipped": without_attention(model)}, []
    images, times = (
        load_images(split="test", limit=1000)[0],
        stratified_times(1000, schedule.T, torch.Generator().manual_seed(0)),
    )
    for seed in options.seed:
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
        for name, network in networks.items():
            with torch.no_grad():
                loss = noise_prediction_loss(Batched(network, 100), images, schedule, times, noise).item()
            verdict = distances(draw(network, schedule, options.n, seed, "dpm_solver", 20, spacing="time"))
            records.append({"network": name, "seed": seed, "loss": round(loss, 5)} | verdict)
            print(records[-1], flush=True)
    about = {"command": command(), "machine": made_on(), "checkpoint": checkpoint_digest(options.checkpoint)}
    about |= {"sampler": "DPM-Solver++, 20 steps, even in t", "evaluations": 20, "records": records}
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    write_json(options.out, results | {"attention": about})


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
    rulers, quality, attention, bits = (kinds.add_parser(name) for name in ("rulers", "quality", "attention", "bits"))
    rulers.set_defaults(measure=measure_rulers)
    quality.set_defaults(measure=measure_quality)
    quality.add_argument("--n", type=int, default=1000, help="pictures, 10 to 10,000")
    quality.add_argument("--sampler", choices=("ddim", "dpm_solver", "ancestral"), default="ddim")
    quality.add_argument("--steps", type=int, default=50)
    quality.add_argument("--eta", type=float, default=0.0, help="for ddim")
    quality.add_argument("--spacing", default="time", help="for ddim and dpm_solver: time, quadratic or log_snr")
    quality.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="bfloat16: autocast")
    quality.add_argument("--section", default="quality", help="of the results")
    quality.add_argument("--keep", action="store_true", help="keep the pictures for notebook 09")
    attention.set_defaults(measure=measure_attention)
    attention.add_argument("--n", type=int, default=1000, help="pictures a record")
    bits.set_defaults(measure=measure_bits)
    bits.add_argument("--n", type=int, default=128, help="test pictures, drawn at random")
    bits.add_argument("--times", type=int, default=60, help="random times a picture, one from each stratum")
    bits.add_argument("--seed", type=int, default=0)
    quality.add_argument("--seed", type=int, nargs="*", default=[0])
    attention.add_argument("--seed", type=int, nargs="*", default=[0, 1, 2])
    for kind in (quality, attention, bits):
        kind.add_argument("--checkpoint", default=data_folder() / "fashion-mnist.safetensors", type=Path)
    for kind in (rulers, quality, attention, bits):
        kind.add_argument("--out", default=RESULTS / "09_evaluation.json", type=Path)
    options = parser.parse_args()
    options.measure(options)


if __name__ == "__main__":
    main()
