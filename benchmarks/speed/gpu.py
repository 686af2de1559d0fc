"""Training on a GPU: our UNet beside diffusers' of equal size, in every precision and layout, in one run.

    python -m benchmarks.speed.gpu            # writes results/speed_gpu.json and prints a table; a few minutes, most of them torch.compile's

The data lies on the device. Both networks have the same layers and take the same plain training step (AdamW, mean squared error),
so the rows differ in what they say they differ in; the last row is the library's own `train_step`. Says so where there is no GPU.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.speed.measure import Results, count_flop, interleaved, measure_peak, spread
from benchmarks.speed.peers import equal_unet, size
from benchmarks.speed.report import table
from course.lessons import RESULTS
from ddpm_lib.data import load_images
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, train_step
from ddpm_lib.unet import UNet

VARIANTS = {  # name -> (autocast dtype, channels_last, torch.compile)
    "float32": (None, False, False),
    "bfloat16": (torch.bfloat16, False, False),
    "float16": (torch.float16, False, False),
    "bfloat16, channels_last": (torch.bfloat16, True, False),
    "bfloat16, channels_last, compiled": (torch.bfloat16, True, True),
    "float16, channels_last, compiled": (torch.float16, True, True),
}


def training_step(model, images, batch, dtype, channels_last, compiled):
    """One plain training step of `model`, on the device of `images`, as a function of nothing. float16 scales its loss."""
    device = images.device
    model = model.to(device)
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    network, checks = torch.compile(model) if compiled else model, isinstance(model, UNet)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=device.type == "cuda")
    scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
    alpha_bars = NoiseSchedule(linear_betas(1000)).alpha_bars.float().to(device)

    def step():
        x_0 = images[torch.randint(len(images), (batch,), device=device)]
        t, noise = torch.randint(1, 1001, (batch,)), torch.randn_like(x_0)
        signal = alpha_bars[t][:, None, None, None]
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            # our UNet checks t on the CPU, where a check does not make the GPU wait
            predicted = network(signal.sqrt() * x_0 + (1 - signal).sqrt() * noise, t if checks else t.to(device))
            loss = F.mse_loss(getattr(predicted, "sample", predicted), noise)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def library_step(model, images, batch):
    """The library's own step in bfloat16."""
    model = model.to(images.device)
    state = TrainingState(model, NoiseSchedule(linear_betas(1000)), steps=10**6, batch_size=batch, precision="bfloat16")
    return lambda: train_step(state, images)


def builders(images, batch, variants):
    """(name, variant) -> a function that builds its training step; diffusers only where it is installed."""
    networks = {"ddpm_lib": lambda: UNet(image_channels=images.shape[1])}
    try:
        equal_unet(images)
        networks["diffusers"] = lambda: equal_unet(images)
    except ImportError as error:
        print(f"left out: diffusers, not installed ({error})")
    found = {
        (name, variant): lambda make=make, variant=variant: training_step(make(), images, batch, *VARIANTS[variant])
        for variant in variants
        for name, make in networks.items()
    }
    found["ddpm_lib, its train_step", "bfloat16"] = lambda: library_step(networks["ddpm_lib"](), images, batch)
    return found


def bytes_for(device, build):
    """Build a step, take three, and return it with the device memory that it needed at the most (None on the CPU)."""
    if device.type != "cuda":
        step = build()
        step()
        return step, None
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step = build()
    for _ in range(3):
        step()
    torch.cuda.synchronize(device)
    return step, torch.cuda.max_memory_allocated(device) - before


def rows_of(times, memory, batch, flop, peaks):
    """One row for each network and variant; the share is of the fastest convolution in the row's precision."""
    rows = []
    for (name, variant), seconds in times.items():
        speed = spread([batch / s for s in seconds])
        peak = peaks[variant.split(",")[0]]["convolution"]["flop_per_second"]["median"]
        rows.append(
            {
                "name": name,
                "variant": variant,
                "images_per_second": speed,
                "peak_bytes": memory[name, variant],
                "share_of_convolution_peak": flop * speed["median"] / peak,
            }
        )
    return rows


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cpu only shows that the script runs (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="length of a turn, about (default: %(default)s)")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_arguments(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no GPU here: nothing was measured, and results/speed_gpu.json is as it was")
        return
    finish = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    results = Results(options.out / "speed_gpu.json", device)
    settings = {key: getattr(options, key) for key in ("device", "batch", "rounds", "seconds", "images", "variants")}
    dtypes = list(
        dict.fromkeys([torch.float32, torch.bfloat16, *(VARIANTS[v][0] or torch.float32 for v in options.variants)])
    )
    scale = 1 if device.type == "cuda" else 8
    for peaks in measure_peak(options.rounds, options.seconds / 10, dtypes, device, scale, finish):  # noqa: B007
        pass
    images = load_images(limit=options.images)[0].to(device)
    flop = count_flop(training_step(UNet(), images, 1, None, False, False))
    steps, memory = {}, {}
    for key, build in builders(images, options.batch, options.variants).items():
        print("building", *key, flush=True)
        steps[key], memory[key] = bytes_for(device, build)
    facts = {"parameters": size(UNet()), "flop": flop, "peak": peaks}
    for times in interleaved(steps, options.rounds, options.seconds, finish):
        facts["rows"] = rows_of(times, memory, options.batch, flop, peaks)
        results.put("training", facts, settings, finished=False)
    results.put("training", facts, settings, finished=True)
    lines = [
        [
            row["name"],
            row["variant"],
            f"{row['images_per_second']['median']:,.0f}",
            "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}",
            f"{row['share_of_convolution_peak']:.0%}",
        ]
        for row in facts["rows"]
    ]
    print(table(["", "variant", "images/s", "memory, MB", "of the convolution peak"], lines))


if __name__ == "__main__":
    main()
