"""What the measurements share: the clock, the machine's name and its peak, and results that survive an interrupt."""

import datetime
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from importlib import metadata
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from course.lessons import ROOT

PACKAGES = ("torch", "torchvision", "numpy", "diffusers", "denoising-diffusion-pytorch", "smalldiffusion")


def versions():
    """The versions of Python and of every package whose speed is measured; None for one that is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine(device="cpu"):
    """The machine by name: processor, cores, threads, and the instructions that matter for bfloat16."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    facts = dict(reversed([line.split("\t: ", 1) for line in cpu.replace("\t\t", "\t").splitlines() if "\t: " in line]))
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": sorted({"avx512_bf16", "amx_bf16", "bf16"} & set(flags)),
    } | ({"gpu": torch.cuda.get_device_name(device)} if torch.device(device).type == "cuda" else {})


def made_on(device="cpu"):
    """The machine, the device and the version of torch that a figure belongs to."""
    return machine(device) | {"device": str(device), "torch": torch.__version__}


def checkpoint_digest(path):
    """The first 16 digits of the file's SHA-256: which weights a figure belongs to."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def load_average():
    """How many processes wanted a processor over the last minute (our own included), or None where that is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def turn(work, seconds, finish=lambda: None):
    """Seconds per call of `work`, called for about `seconds`, at least once; `finish` waits for a GPU to be done."""
    finish()
    start, calls, chunk = time.perf_counter(), 0, 1
    while chunk:
        for _ in range(chunk):
            work()
        finish()
        calls, elapsed = calls + chunk, time.perf_counter() - start
        chunk = 0 if elapsed >= seconds else max(1, int((seconds - elapsed) * calls / elapsed))
    return elapsed / calls


def interleaved(works, rounds, seconds, finish=lambda: None):
    """Give every one of `works` (name -> callable) a turn in each round, so that all see the same weather.

    The order rotates. Yields, after each round, name -> list of seconds per call, one for each round so far.
    """
    times, names = {name: [] for name in works}, list(works)
    for k in range(rounds):
        for name in names[k % len(names) :] + names[: k % len(names)]:
            times[name].append(turn(works[name], seconds, finish))
        yield times


def spread(values):
    """The median with its range."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def count_flop(work):
    """The floating-point operations of `work()` in convolutions and matrix products; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def fitted_slope(x, y):
    """The exponent p of y = c * x^p, by least squares on logarithms."""
    x, y = (torch.tensor(values, dtype=torch.float64).log() for values in (x, y))
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def peak_works(dtype, device="cpu", scale=1):
    """What the machine is asked to do at its best: name -> (work, FLOP). Convolutions of a UNet's shapes and larger, and products."""
    works = {}
    for n, channels, side in ((64, 32, 28), (64, 64, 14), (64, 96, 7), (64, 128, 28), (16, 128, 32)):
        n = max(1, n // scale)
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(n, channels, side, side, device=device, dtype=dtype).to(memory_format=layout)
            weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype).to(memory_format=layout)
            name = f"convolution {n}x{channels}x{side}x{side}" + (" channels_last" * (layout is torch.channels_last))
            works[name] = (lambda x=x, w=weight: F.conv2d(x, w, padding=1)), 2 * 9 * n * channels**2 * side**2
    for side in (1024 // scale, 2048 // scale):
        a = torch.randn(side, side, device=device, dtype=dtype)
        works[f"matrix product {side}"] = (lambda a=a: a @ a), 2 * side**3
    return works


def measure_peak(rounds, seconds, dtypes=(torch.float32, torch.bfloat16), device="cpu", scale=1, finish=lambda: None):
    """FLOP/s of plain convolutions and matrix products. Yields, after each round, precision -> kind -> the fastest, and all of them."""
    tasks = {(dtype, name): task for dtype in dtypes for name, task in peak_works(dtype, device, scale).items()}
    with torch.inference_mode():
        for work, _ in tasks.values():
            work()
        for times in interleaved({key: work for key, (work, _) in tasks.items()}, rounds, seconds, finish):
            found = {}
            for dtype in dtypes:
                rates = {
                    name: spread([tasks[d, name][1] / s for s in values])
                    for (d, name), values in times.items()
                    if d == dtype
                }
                best = {
                    kind: max((n for n in rates if n.startswith(kind)), key=lambda n: rates[n]["median"])
                    for kind in ("convolution", "matrix product")
                }
                found[str(dtype).removeprefix("torch.")] = {
                    kind: {"best": name, "flop_per_second": rates[name]} for kind, name in best.items()
                } | {"all": {name: rate["median"] for name, rate in rates.items()}}
            yield found


def command():
    """The command that is running, as one would type it in the repository's folder."""
    script = Path(sys.argv[0]).resolve().relative_to(ROOT).with_suffix("")
    return " ".join(["python -m", ".".join(script.parts), *sys.argv[1:]])


def write_json(path, content):
    """Write a results file; first under another name, so that the old one is never half written."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".tmp")
    new.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(new, path)


class Results:
    """A JSON file of named sections, written whole after every round, so that Ctrl-C loses one round at most.

    Sections that an earlier run measured on the same machine with the same versions are kept; others are dropped.
    """

    def __init__(self, path, device="cpu"):
        self.path = Path(path)
        self.content = {"command": command(), "machine": machine(device), "versions": versions(), "sections": {}}
        try:
            old = json.loads(self.path.read_text())
            if all(old[key] == self.content[key] for key in ("machine", "versions")):
                self.content["sections"] = old["sections"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass

    def put(self, section, content, settings, finished):
        """Store what `section` has measured so far."""
        self.content["sections"][section] = {
            "command": command(),
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
            "finished": finished,
            "load_average": load_average(),
            "settings": settings,
        } | content
        write_json(self.path, self.content)
