"""Train the sick and the healthy models of notebook 10, and measure what is healthy.

    python -m benchmarks.10_bug_clinic           # five sick networks and a healthy one, 51,200 pictures each: results/10_bug_clinic.safetensors
    python -m benchmarks.10_bug_clinic controls  # the eleven signs of many healthy controls: results/10_bug_clinic.json

The patients themselves are in `checks/10_bug_clinic.py`. The examination is the notebook's own: its cells are run here.

Three kinds of healthy controls are measured, each on two lots of seeds that share nothing: `measured`, from which the notebook takes
its healthy ranges, and `fresh`, which are judged by them. "shipped" and "solver" are the two healthy samplers with the one network that
ships, so that all that varies is the noise: x_T, the noise on the way, and the noise on the real pictures about which the network is asked.
"small" is the small network with T = 100: several are trained, from other random starts and batches, and each draws with several noises of its own.
The patients are drawn with the fresh seeds too, to see how often each is found.
"""

import argparse
import ast
import copy
import json
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm import tqdm

from benchmarks.speed.measure import checkpoint_digest, command, machine, made_on, write_json
from course.lessons import RESULTS, ROOT, checks_of, code_of, locate
from course.slices import slice_for
from ddpm_lib.checkpoint import load_pretrained, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.training import learning_rate_factor
from ddpm_lib.unet import UNet

clinic = checks_of("10_bug_clinic")
LOTS = {"measured": 1000, "fresh": 2000}  # the first seed of each; one seed takes its number, and its number + 100
APART = 200  # from the first seed of one training to that of the next, so that no two of them draw from the same noise


def train_patient(parts, pixels, steps, T=100, batch_size=32, learning_rate=4e-3, base_channels=8, seed=0):
    """Train a small UNet with those parts in place of the healthy ones; returns (averaged model, schedule, losses)."""
    parts = clinic.HEALTHY | parts
    torch.manual_seed(seed)
    model, generator = UNet(base_channels=base_channels), torch.Generator().manual_seed(seed)
    averaged = copy.deepcopy(model).requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NoiseSchedule warns of patient 11
        schedule = parts["schedule"](T)
    optimizer, losses = torch.optim.AdamW(model.parameters(), learning_rate), []
    for step in tqdm(range(steps), mininterval=10):
        chosen = torch.randint(len(pixels), (batch_size,), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss = parts["loss"](model, parts["pixels"](pixels[chosen]), schedule, generator)
        optimizer.param_groups[0]["lr"] = learning_rate * learning_rate_factor(step, steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for average, weights in zip(averaged.parameters(), model.parameters(), strict=True):
            parts["average"](average, weights.detach(), step + 1)
        losses.append(loss.item())
    return averaged.eval(), schedule, losses


def training_pixels():
    return ((load_images()[0] + 1) * 127.5).round().to(torch.uint8)


def train_all(options):
    """Train the patients and the healthy network that the notebook loads."""
    path = options.out or clinic.TRAINED
    pixels, (tensors, notes), where = training_pixels(), clinic.read_results(path), machine()
    for name in options.only:
        start = time.perf_counter()
        model, schedule, losses = train_patient(clinic.TRAINERS[name], pixels, options.steps)
        weights = parameters_to_vector(model.parameters()).half()  # half precision, for the file's size
        kept = {"weights": weights, "betas": schedule.betas[1:], "losses": torch.tensor(losses).half()}
        tensors |= {f"{name}.{key}": value for key, value in kept.items()}
        notes |= {
            "kind": "bug clinic",
            "command": "python -m benchmarks.10_bug_clinic",
            "model": json.dumps(model.settings),
            "steps": str(options.steps),
            "machine": f"{where['processor']}, {where['cores']} cores",
            "torch": torch.__version__,
            f"seconds, {name}": f"{time.perf_counter() - start:.0f}",
        }
        write_safetensors(path, tensors, notes)
        last = losses[-100:]
        print(f"{name}: last losses {sum(last) / len(last):.4f}, {notes[f'seconds, {name}']} s", flush=True)


def examination():
    """The notebook's `admit` and `examine`, with all that they need, run from its cells."""
    notebook = ROOT / "notebooks" / "10_bug_clinic.ipynb"
    sources, page = code_of(notebook), {}
    makers = [k for k in sources for name in ("admit", "examine") if locate(ast.parse(sources[k]), name)]
    for k in sorted(set().union(*(slice_for(notebook, k) for k in makers))):
        exec(sources[k], page)
    return SimpleNamespace(**page)


def measure_controls(options):
    """The signs of healthy controls, and of the patients, one record a draw; what the file has already is kept."""
    path, page, start = options.out or RESULTS / "10_bug_clinic.json", examination(), time.process_time()
    shipped, (small, short, _) = load_pretrained(), clinic.load_trained("healthy")
    about = {"command": command(), "machine": made_on()}
    about |= {"checkpoint": checkpoint_digest(data_folder() / "fashion-mnist.safetensors")}
    about |= {"networks": checkpoint_digest(clinic.TRAINED), "training_steps": options.steps}
    about |= {"evaluations": 25, "pictures": 8, "core_seconds": 0, "trained_on": {}, "lots": {lot: [] for lot in LOTS}}
    if path.exists():
        old = json.loads(path.read_text())
        if all(old[key] == about[key] for key in ("checkpoint", "networks", "training_steps")):
            # Another machine examines one network alike, to six digits. It trains another one: `trained_on` says which did.
            about |= {key: old[key] for key in ("machine", "core_seconds", "trained_on", "lots")}
    before = about["core_seconds"]

    def missing(lot, kind, count, place=0, **more):
        """The seeds that the file lacks of the `count` of a kind; each training has its `place` in the lot, and seeds of its own."""
        found = [r["seed"] for r in about["lots"][lot] if r.items() >= ({"control": kind} | more).items()]
        first = LOTS[lot] + APART * place
        return [seed for seed in range(first, first + count) if seed not in found]

    def record(lot, kind, count, sampler, model, schedule, place=0, **more):
        for seed in missing(lot, kind, count, place, **more):
            signs = page.examine(page.admit(sampler, model, schedule, seed))
            signs = {sign: None if value != value else round(value, 6) for sign, value in signs.items()}
            about["lots"][lot].append({"control": kind} | more | {"seed": seed} | signs)
            about["core_seconds"] = round(before + time.process_time() - start)
            write_json(path, about)
        print(lot, kind, more or "", f"{about['core_seconds']} s", flush=True)

    for lot, draws in (("measured", options.draws), ("fresh", options.fresh_draws)):
        record(lot, "shipped", draws, clinic.healthy_sampler, *shipped)
        record(lot, "solver", max(1, 2 * draws // 5), clinic.healthy_solver, *shipped)  # one patient needs it, by NaN
    each = options.training_draws
    record("fresh", "small", each, clinic.healthy_sampler, small, short, training=0)
    pixels = training_pixels()
    trainings = [("measured", place, training) for place, training in enumerate(options.trainings)]
    trainings += [("fresh", place, training) for place, training in enumerate(options.fresh_trainings, 1)]  # 0 is in place 0
    for lot, place, training in trainings:
        if not missing(lot, "small", each, place, training=training):
            continue
        model, schedule, _ = train_patient(clinic.TRAINERS["healthy"], pixels, options.steps, seed=training)
        weights = parameters_to_vector(model.parameters()).half().float()  # as the notebook's own networks are kept
        vector_to_parameters(weights, model.parameters())
        about["trained_on"][str(training)] = made_on()
        record(lot, "small", each, clinic.healthy_sampler, model, schedule, place, training=training)
    for number in range(1, 14):
        sampler = getattr(clinic, f"sampler_{number}", clinic.healthy_sampler)
        own = shipped if hasattr(clinic, f"sampler_{number}") else clinic.load_trained(f"patient {number}")[:2]
        record("fresh", f"patient {number}", options.patients, sampler, *own)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("train", "controls"), default="train")
    parser.add_argument(
        "--only", nargs="*", choices=clinic.TRAINERS, default=list(clinic.TRAINERS), help="train these, keep the others"
    )
    parser.add_argument("--steps", type=int, default=1600, help="of each training")
    parser.add_argument("--draws", type=int, default=50, help="healthy draws to measure, of either network, at most 100")
    parser.add_argument("--fresh-draws", type=int, default=20, help="healthy draws to judge")
    parser.add_argument("--training-draws", type=int, default=16, help="healthy draws of each small network")
    parser.add_argument("--patients", type=int, default=5, help="draws of each patient")
    parser.add_argument("--trainings", type=int, nargs="+", default=[1, 2], help="seeds of healthy trainings to measure")
    parser.add_argument("--fresh-trainings", type=int, nargs="*", default=[], help="seeds of healthy trainings to judge, beside 0, the notebook's own")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    train_all(options) if options.what == "train" else measure_controls(options)


if __name__ == "__main__":
    main()
