"""`make bench`: how fast the library trains and samples, beside its peers and beside the machine's own peak.

    python -m benchmarks.speed.race                      # everything; about ten minutes on two cores
    python -m benchmarks.speed.race --sections training  # one section; the others are kept from the last run on this machine
    python -m benchmarks.speed.race --quick              # a smoke run in seconds; its figures mean nothing
    python -m benchmarks.speed.race --sections           # measure nothing, draw the table and the plot again

Writes speed.json into benchmarks/results after every round, so that Ctrl-C loses little, and at the end speed.md and speed.png
(--out: elsewhere; --quick writes into build/bench). On the CPU; gpu.py is for a GPU. The other libraries come with
the extra `bench`; one that is not installed is left out.
"""

import argparse
import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.speed.measure import Results, count_flop, fitted_slope, interleaved, measure_peak, spread
from benchmarks.speed.peers import PEERS, peers
from benchmarks.speed.report import write_report
from course.lessons import RESULTS, ROOT
from ddpm_lib.data import load_images
from ddpm_lib.fast_sampling import ddim_sample
from ddpm_lib.sampling import reverse_step, sample, sample_trajectory
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, best_precision, train_step
from ddpm_lib.unet import UNet


def peak(options):
    """The machine's own peak."""
    for found in measure_peak(options.rounds, options.seconds / 10, scale=8 if options.quick else 1):
        yield {"peak": found}


def field(options, images):
    """Everyone, in float32 and in the precision that the library chooses."""
    chosen = best_precision("cpu")
    found, missing = peers(images, options.batch, list(dict.fromkeys(["float32", chosen])), options.peers)
    facts = {"chosen_precision": chosen, "missing": missing, "rows": []}
    return found, facts


def ranked(found, facts, options, task):
    """Measure `task` (the name of a Peer's function) of everyone in interleaved rounds, in images a second."""
    works = {key: getattr(peer, task) for key, peer in found.items()}
    flop = {}
    for (name, precision), peer in found.items():  # float32 first; the count is the same in any precision
        if precision == "float32":
            with torch.no_grad():
                look = count_flop(peer.look)
            flop[name] = (look, count_flop(works[name, precision]) / options.batch)  # which is the warm-up, too
        else:
            works[name, precision]()  # the counter would switch autocast off in places
    for times in interleaved(works, options.rounds, options.seconds):
        rows = [
            {
                "name": key[0],
                "precision": key[1],
                "network": found[key].network,
                "parameters": found[key].parameters,
                "forward_flop": flop[key[0]][0],
                "flop": flop[key[0]][1],  # of what is timed, for one image
                "images_per_second": spread([options.batch / seconds for seconds in values]),
            }
            for key, values in times.items()
        ]
        yield facts | {"rows": rows}


def training(options):
    """Training steps, each library's own."""
    images, _ = load_images(limit=options.images)
    yield from ranked(*field(options, images), options, "step")


def sampling(options):
    """One step of each library's own sampler, at one network evaluation an image."""
    images, _ = load_images(limit=options.images)
    yield from ranked(*field(options, images), options, "draw")


def one_step(images, batch, T=1000, base=32):
    """A training step of the library, as a function of nothing."""
    torch.manual_seed(0)
    state = TrainingState(UNet(base_channels=base), NoiseSchedule(linear_betas(T)), steps=10**6, batch_size=batch)
    return lambda: train_step(state, images)


AXES = {  # axis -> (what is timed, the exponent that theory gives, values, values with --quick)
    "image size": ("training step", 2, (16, 24, 32, 48, 64), (16, 20)),
    "width": ("training step", 2, (16, 24, 32, 48, 64), (8, 16)),
    "batch": ("training step", 1, (8, 16, 32, 64, 128, 256), (2, 4)),
    "T, training": ("training step", 0, (100, 200, 400, 800, 1600), (50, 100)),
    "T, sampling": ("sample", 1, (50, 100, 200, 400), (5, 10)),
    "steps": ("ddim_sample", 1, (10, 20, 40, 80, 160), (5, 10)),
}


def axis_works(options):
    """axis -> a function that makes the work for one value on it."""
    images, _ = load_images(limit=options.images)
    torch.manual_seed(0)
    model, schedule = UNet(base_channels=16).eval(), NoiseSchedule(linear_betas(1000))
    shape, batch = (4, 1, 16, 16), min(options.batch, 16)

    def resized(side):
        return F.interpolate(images[:512], size=(side, side), mode="bilinear").clamp(-1, 1)

    def ancestral(T):
        own = NoiseSchedule(linear_betas(T))
        return lambda: sample(model, own, shape, progress=False)

    return {
        "image size": lambda value: one_step(resized(value), batch),
        "width": lambda value: one_step(images, batch, base=value),
        "batch": lambda value: one_step(images, value),
        "T, training": lambda value: one_step(images, batch, T=value),
        "T, sampling": ancestral,
        "steps": lambda value: lambda: ddim_sample(model, schedule, shape, steps=value, progress=False),
    }


def scaling(options):
    """The cost as the work grows, one axis at a time, against its theoretical slope."""
    found, makers = {}, axis_works(options)
    for axis, (timed, expected, full, few) in AXES.items():
        values = few if options.quick else full
        works = {value: makers[axis](value) for value in values}
        flop = [count_flop(work) for work in works.values()]  # which is the warm-up, too
        for times in interleaved(works, options.rounds, options.seconds / 5):
            seconds = [spread(times[value]) for value in values]
            medians = [s["median"] for s in seconds]
            found[axis] = {
                "timed": timed,
                "values": list(values),
                "seconds": seconds,
                "flop": flop,
                "slope": {
                    "theory": expected,
                    "counted_flop": fitted_slope(values, flop),
                    "seconds": fitted_slope(values, medians),
                    "seconds_upper_end": fitted_slope(values[-2:], medians[-2:]),
                },
            }
            yield {"axes": found}


def peak_memory():
    """The most memory that this process has held so far, in bytes; None where the system does not say (it does on Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def trajectory_memory(shape, counts):
    """In a process of its own: bytes held at the most, above the start, by the iterator alone and by trajectories of `counts` frames.

    The model is a stand-in that costs nothing, so that what is left is the states.
    """
    torch.set_num_threads(1)
    schedule = NoiseSchedule(linear_betas(max(counts)))

    def model(x_t, t):
        return x_t

    reverse_step(model, torch.zeros(1, 1), 1, schedule)
    start, rows = peak_memory(), []
    for frames in [0, *sorted(counts)]:
        if frames:
            result = sample_trajectory(model, schedule, shape, progress=False, frames=frames)
        else:
            result = sample(model, schedule, shape, progress=False)
        held = result.numel() * result.element_size()
        del result
        rows.append({"frames": frames, "result_bytes": held, "peak_bytes": start and peak_memory() - start})
    return rows


def memory(options):
    """What a trajectory holds."""
    shape, counts = ((8, 1, 32, 32), (5, 10)) if options.quick else ((64, 1, 64, 64), (10, 20, 40, 80, 160))
    context = multiprocessing.get_context("spawn")  # a new process: peak memory only ever grows
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        rows = pool.submit(trajectory_memory, shape, counts).result()
    frames, held = [r["frames"] for r in rows[1:]], [r["result_bytes"] for r in rows[1:]]
    slopes = {"theory": 1, "result_bytes": fitted_slope(frames, held)}
    if all(r["peak_bytes"] for r in rows[1:]):
        slopes["peak_bytes"] = fitted_slope(frames, [r["peak_bytes"] for r in rows[1:]])
    yield {"shape": list(shape), "rows": rows, "slope": slopes}


SECTIONS = {"peak": peak, "training": training, "sampling": sampling, "scaling": scaling, "memory": memory}


SETTINGS = {  # name -> (type, value, value with --quick, meaning)
    "batch": (int, 64, 4, "images in a batch"),
    "rounds": (int, 5, 2, "everyone has a turn in each"),
    "seconds": (float, 3, 0.05, "length of a turn, about"),
    "images": (int, 10_000, 64, "how many training images"),
}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, choices in (("section", SECTIONS), ("peer", PEERS)):
        about = f"any of {', '.join(choices)} (default: all)"
        parser.add_argument(
            f"--{name}s", nargs="*", choices=choices, default=list(choices), metavar=name.upper(), help=about
        )
    for name, (kind, full, _, meaning) in SETTINGS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{meaning} (default: {full})")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: tiny batches and sizes, turns of an instant")
    parser.add_argument(
        "--out", type=Path, help="folder for the results (default: benchmarks/results, or build/bench with --quick)"
    )
    options = parser.parse_args(arguments)
    options.out = options.out or (ROOT / "build" / "bench" if options.quick else RESULTS)
    for name, (_, full, quick, _) in SETTINGS.items():
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else full)
    if min(getattr(options, name) for name in [*SETTINGS, "threads"]) <= 0:
        parser.error(f"--threads, --{', --'.join(SETTINGS)} must be positive")
    return options


def measure(options, results):
    """Measure the chosen sections, storing every round in `results`."""
    settings = {name: getattr(options, name) for name in (*SETTINGS, "threads", "quick", "peers")}
    for section in options.sections:
        print(f"{section}: {SECTIONS[section].__doc__}", flush=True)
        content = {}
        for content in SECTIONS[section](options):
            results.put(section, content, settings, finished=False)
        results.put(section, content, settings, finished=True)
        for peer, why in content.get("missing", {}).items():
            print(f"  left out: {peer}, {why}")


def main(arguments=None):
    options = parse_arguments(arguments)
    path = options.out / "speed.json"
    if options.sections:
        torch.set_num_threads(options.threads)
        results = Results(path)
        try:
            measure(options, results)
        except KeyboardInterrupt:
            sys.exit("stopped; what was measured is in speed.json, marked as unfinished")
        finally:
            if results.content["sections"]:
                write_report(results.content, options.out)
    elif not path.exists():
        sys.exit("nothing has been measured yet: there is no speed.json")
    else:
        write_report(json.loads(path.read_text()), options.out)
    print((options.out / "speed.md").read_text())


if __name__ == "__main__":
    main()
