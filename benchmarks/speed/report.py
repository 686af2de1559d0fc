"""The table (speed.md) and the plot (speed.png) of what speed.py measured; both are made from speed.json alone."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def rate(value):
    """A rate with its range, in three figures."""
    return f"{value['median']:.3g} ({value['min']:.3g} to {value['max']:.3g})"


def best_convolution(sections, precision):
    """The median peak of convolutions in FLOP/s, or None where it was not measured."""
    peaks = sections.get("peak", {}).get("peak", {})
    return peaks[precision]["convolution"]["flop_per_second"]["median"] if precision in peaks else None


def share(row, peak):
    """The fraction of the machine's convolution peak that a row reaches."""
    return row["flop"] * row["images_per_second"]["median"] / peak if peak else None


def table(head, rows):
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def race(section, sections, what):
    head = ["", "precision", "network", "parameters", "forward MFLOP", f"{what}: images/s", "of the convolution peak"]
    lines = []
    for row in section["rows"]:
        fraction = share(row, best_convolution(sections, row["precision"]))
        lines.append(
            [
                row["name"],
                row["precision"],
                row["network"],
                f"{row['parameters']:,}",
                f"{row['forward_flop'] / 1e6:.0f}",
                rate(row["images_per_second"]),
                "not measured" if fraction is None else f"{fraction:.0%}",
            ]
        )
    missing = [f"Left out: {name}, {why}." for name, why in section["missing"].items()]
    return "\n\n".join([table(head, lines), *missing])


def peak_text(section):
    rows = [
        [precision, kind, f"{best[kind]['flop_per_second']['median'] / 1e9:.0f}", best[kind]["best"]]
        for precision, best in section["peak"].items()
        for kind in ("convolution", "matrix product")
    ]
    return table(["precision", "", "GFLOP/s", "reached by"], rows)


def scaling_text(section):
    rows = [
        [axis, data["timed"], " ".join(map(str, data["values"]))]
        + [f"{data['slope'][key]:.2f}" for key in ("theory", "counted_flop", "seconds", "seconds_upper_end")]
        for axis, data in section["axes"].items()
    ]
    head = [
        "axis",
        "timed",
        "values",
        "slope in theory",
        "of the FLOP counted",
        "of the seconds",
        "of the seconds, last two",
    ]
    return table(head, rows)


def memory_text(section):
    rows = [
        [
            f"`sample_trajectory`, {row['frames']} frames" if row["frames"] else "`sample` (the iterator alone)",
            f"{row['result_bytes'] / 1e6:.2f}",
            "not known here" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:.1f}",
        ]
        for row in section["rows"]
    ]
    slopes = ", ".join(f"{key.replace('_', ' ')} {value:.2f}" for key, value in section["slope"].items())
    shape = "×".join(map(str, section["shape"]))
    return table([f"states of {shape}", "result, MB", "most held, MB"], rows) + f"\n\nSlopes over frames: {slopes}."


TITLES = {
    "peak": "What the machine can do",
    "training": "Training",
    "sampling": "Sampling, images per second and network evaluation",
    "scaling": "Cost as the work grows",
    "memory": "Memory of a trajectory",
}
NOTES = {
    "peak": "The fastest of several plain convolutions and matrix products; a multiply-add counts as two.",
    "training": "Median over interleaved rounds, with the range. Each library trains its own network with its own loss and optimiser, "
    'all on the same images and batch size. "diffusers-as-ours" is built of diffusers\' parts to have our layers. float32 is '
    "what each documentation runs by default; the other precision is `torch.autocast` around the same loss.",
    "sampling": "One step of each library's own sampler on a batch: divide by the steps that you take. Same batch and threads.",
    "scaling": "Exponents p of cost = c · x^p, fitted on logarithms. Small sizes pay a fixed cost for each call, which flattens the "
    "measured slope; the last column has only the two largest values.",
    "memory": "The most that a process held above its start, with a model that costs nothing.",
}


def report(results):
    """speed.md as a string."""
    machine, sections = results["machine"], results["sections"]
    texts = {"peak": peak_text, "scaling": scaling_text, "memory": memory_text}
    instructions = ", ".join(machine["bfloat16_instructions"]) or "none known"
    parts = [
        "# Speed",
        "Written by `make bench` (benchmarks/speed/race.py) from speed.json, which also has every single round; do not edit.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, {machine['system']}, "
        f"{machine['instructions']}, bfloat16 instructions: {instructions}.",
        "Versions: "
        + ", ".join(f"{name} {version or 'not installed'}" for name, version in results["versions"].items())
        + ".",
    ]
    for name, title in TITLES.items():
        if name not in sections:
            continue
        section = sections[name]
        state = "" if section["finished"] else " **Stopped before its end.**"
        state += " **A smoke run: the figures mean nothing.**" if section["settings"]["quick"] else ""
        busy = "" if section["load_average"] is None else f"; load average at its end {section['load_average']:.1f}"
        text = texts[name](section) if name in texts else race(section, sections, name)
        parts += [f"## {title}", NOTES[name] + state, text, f"`{section['command']}`, {section['date']}{busy}."]
    if any(name in sections for name in ("training", "sampling", "scaling")):
        parts.append("![The tables as bars and lines](speed.png)")
    return "\n\n".join(parts) + "\n"


UNITS = {
    "image size": "pixels a side",
    "width": "base channels",
    "batch": "images",
    "T, training": "steps of the schedule",
    "T, sampling": "steps of the schedule",
    "steps": "network evaluations",
}


def plot_race(axis, section, title):
    rows = section["rows"][::-1]
    colours = {"float32": "C0", "bfloat16": "C1"}
    for y, row in enumerate(rows):
        speed = row["images_per_second"]
        error = [[speed["median"] - speed["min"]], [speed["max"] - speed["median"]]]
        hatch = "//" if row["precision"] == "bfloat16" else None
        axis.barh(y, speed["median"], xerr=error, color=colours[row["precision"]], hatch=hatch, capsize=2, height=0.7)
    axis.set_yticks(range(len(rows)), [f"{row['name']}, {row['precision']}" for row in rows], fontsize=8)
    axis.set_xlabel(title)
    axis.set_xlim(left=0)


def plot_scaling(axis, name, data):
    x, y = data["values"], [seconds["median"] for seconds in data["seconds"]]
    low, high = [s["min"] for s in data["seconds"]], [s["max"] for s in data["seconds"]]
    axis.fill_between(x, low, high, color="C0", alpha=0.3)
    axis.loglog(x, y, "o-", color="C0", label=f"measured, slope {data['slope']['seconds']:.2f}")
    theory = [y[-1] * (v / x[-1]) ** data["slope"]["theory"] for v in x]
    axis.loglog(x, theory, "--", color="C1", label=f"theory, slope {data['slope']['theory']}")
    axis.set_xticks(x, map(str, x), fontsize=7)
    axis.minorticks_off()
    axis.set_ylim(min(low + theory) / 2, max(high) * 2)
    axis.set_xlabel(f"{name} ({UNITS[name]})")
    axis.set_ylabel(f"seconds, {data['timed']}")
    axis.legend(fontsize=7)


def plot_memory(axis, section):
    rows = [row for row in section["rows"] if row["frames"]]
    frames = [row["frames"] for row in rows]
    axis.loglog(frames, [row["result_bytes"] / 1e6 for row in rows], "o--", color="C1", label="the result")
    if all(row["peak_bytes"] for row in section["rows"]):
        axis.loglog(frames, [row["peak_bytes"] / 1e6 for row in rows], "s-", color="C0", label="most held")
        axis.axhline(
            section["rows"][0]["peak_bytes"] / 1e6, color="C2", linestyle=":", label="sample(), no frames kept"
        )
    axis.set_xticks(frames, map(str, frames), fontsize=7)
    axis.minorticks_off()
    axis.set_xlabel("frames")
    axis.set_ylabel("memory (MB)")
    axis.legend(fontsize=7)


def plot(results, path):
    """Races on top, one panel for every axis of the scaling below."""
    sections = results["sections"]
    panels = []
    for name, title in (("training", "training, images/s"), ("sampling", "sampling, images/s per network evaluation")):
        if name in sections:
            panels.append((2, lambda axis, n=name, t=title: plot_race(axis, sections[n], t)))
    for name, data in sections.get("scaling", {}).get("axes", {}).items():
        panels.append((1, lambda axis, n=name, d=data: plot_scaling(axis, n, d)))
    if "memory" in sections:
        panels.append((1, lambda axis: plot_memory(axis, sections["memory"])))
    if not panels:
        return
    wide, narrow = [draw for width, draw in panels if width == 2], [draw for width, draw in panels if width == 1]
    heights = [3 * len(wide), 3 * -(-len(narrow) // 3)]
    figure = plt.figure(figsize=(11, sum(heights)), layout="constrained")
    upper, lower = figure.subfigures(2, height_ratios=[max(height, 0.01) for height in heights])
    for k, draw in enumerate(wide):
        draw(upper.add_subplot(len(wide), 1, k + 1))
    for k, draw in enumerate(narrow):
        draw(lower.add_subplot(-(-len(narrow) // 3), 3, k + 1))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def write_report(results, folder):
    (folder / "speed.md").write_text(report(results))
    plot(results, folder / "speed.png")
