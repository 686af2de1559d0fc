"""A page in which a checkpoint of ours draws, in the reader's own browser: part of the book, and by itself with `make live`.

    python -m docs.live CHECKPOINT          # builds build/live, serves it on this machine alone, opens the browser
    python -m docs.live CHECKPOINT --build  # only builds it

The network goes into the page as ONNX, its weights stored in half precision, and computes there in float32 with ONNX Runtime Web,
which npm brings. The samplers of the page are docs/_static/draw/samplers.js; the schedule's numbers come from `NoiseSchedule`.
In the page's console, `await ddpm.draw({count, seed, sampler, steps, eta, x_T, clip, label, scale})` gives `{x_0, frames, times, shape}`: Float32Arrays
`(count, C, H, W)` and `(steps + 1, count, C, H, W)` in a row each, from x_T to x_0, and the times T..0. `label` is a class's number, -1 for none. `ddpm.ready` is a promise.
"""

import argparse
import functools
import http.server
import inspect
import json
import shutil
import textwrap
import threading
import webbrowser
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from torch.export import Dim

from course.lessons import ROOT
from course.tables import repository_address
from ddpm_lib.checkpoint import load_checkpoint, read_safetensors
from ddpm_lib.data import data_folder
from ddpm_lib.fast_sampling import ddim_step, dpm_solver_step, fresh_dpm_solver_step, sampling_times
from ddpm_lib.guidance import ClassUNet
from ddpm_lib.sampling import reverse_step, walk
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.viz import frame_pixels, scrub
from docs.files import Files
from docs.runtime import LIBRARY, WASM, npm_package, unpack

SHIPPED = data_folder() / "fashion-mnist-classes.safetensors"  # whose file does not say that its pictures are 28 x 28
STEPS = {
    "ancestral": (reverse_step, "06_reverse_sampling"),
    "ddim": (ddim_step, "08_fast_sampling"),
    "dpm_solver": (dpm_solver_step, "08_fast_sampling"),
}  # the step that each sampler of the page mirrors, and the notebook that builds it


def half(model):
    """The same network with weights that half precision holds exactly."""
    rounded = {name: tensor.half().to(tensor.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(rounded)
    return model


def export_network(model, shape, path):
    """Write `model` as ONNX with inputs `x_t` `(N, C, H, W)` and `t` `(N,)`, float32, and for a `ClassUNet` `labels` `(N,)`, int64.

    Every tensor that half precision holds exactly is stored so.
    """
    inputs = (torch.zeros(2, *shape), torch.tensor([1.0, 2.0]))
    if isinstance(model, ClassUNet):
        inputs += (torch.tensor([0, -1]),)
    exported = torch.export.export(model, inputs, dynamic_shapes=({0: Dim("N")},) * len(inputs))
    proto = torch.onnx.export(exported, dynamo=True, verbose=False, output_names=["noise"]).model_proto
    store_in_half(proto.graph)
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        part.ClearField("metadata_props")  # where in the source each operation came from: half a megabyte
    onnx.checker.check_model(proto)
    onnx.save(proto, path)


def store_in_half(graph):
    """Store the float32 tensors of a graph that lose nothing by it as float16, each with a cast back."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and np.array_equal(values.astype(np.float16).astype(np.float32), values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def another_schedule(schedule):
    """A schedule that this network was not trained with: the cosine one, or the linear one where it was that."""
    cosine = NoiseSchedule(cosine_betas(schedule.T))
    return NoiseSchedule(linear_betas(schedule.T)) if torch.allclose(cosine.betas, schedule.betas) else cosine


def class_names(model):
    """The names of the classes that the network can be told, by number; none for a network without classes."""
    return [str(name) for name in getattr(model, "class_names", range(model.settings.get("classes", 0)))]


def open_network(checkpoint, image_size=None):
    """A checkpoint's model, its schedule and its pictures' shape `(C, H, W)`; ValueError or OSError, with a sentence, where it is none of ours."""
    model, schedule = load_checkpoint(checkpoint)
    said = read_safetensors(checkpoint, "checkpoint")[1].get("image size")
    if image_size is None and said is None:
        print("The file does not say how large its pictures are, so 28 x 28 is taken; --image-size says otherwise.")
    channels, side = model.settings["image_channels"], int(image_size or said or 28)
    if channels not in (1, 3):
        raise ValueError(f"path: {checkpoint} draws pictures of {channels} channels, and the page shows 1 (grey) or 3 (colour)")
    with torch.no_grad():
        model(torch.zeros(1, channels, side, side), 1)  # raises ValueError for a size that can't be halved as often as it must be
    return model, schedule, (channels, side, side)


def write_network(model, schedule, shape, folder):
    """Write all that the page loads on the click into `folder`, where the runtime is already."""
    export_network(model, shape, folder / "model.onnx")
    about = {
        "T": schedule.T,
        "shape": shape,
        "classes": class_names(model),
        "alphaBars": schedule.alpha_bars.tolist(),
        "otherAlphaBars": another_schedule(schedule).alpha_bars.tolist(),
        "files": {
            "library": {"name": LIBRARY},
            "runtime": {"name": WASM, "bytes": (folder / WASM).stat().st_size},
            "model": {"name": "model.onnx", "bytes": (folder / "model.onnx").stat().st_size},
        },
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def stored_drawing(model, schedule, shape, steps, count=8, seed=0):
    """A drawing for whoever can't run the network: the last pictures `(H, W, C)`, uint8, and a slider through all, as HTML."""
    times, step = sampling_times(schedule, steps), fresh_dpm_solver_step(model, schedule)
    x_T = torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))
    frames = torch.stack([x_t for _, x_t in walk(step, x_T, times, progress=False)])
    caption = f"A drawing from before, DPM-Solver++ in {steps} steps: drag from noise to the pictures"
    return frame_pixels(frames[-1:])[0], scrub(frames, [f"t = {t}" for t in times], caption).data


def code_blocks(link):
    """The step that each sampler mirrors as HTML; `link(notebook, function)` is the address of the cell that builds it."""
    blocks = []
    for sampler, (step, notebook) in STEPS.items():
        source = highlight(textwrap.dedent(inspect.getsource(step)), PythonLexer(), HtmlFormatter(cssclass="highlight"))
        built = f'<a href="{link(notebook, step.__name__)}">notebook {notebook[:2]}</a>'
        blocks.append(f'<div data-code="{sampler}" hidden>{source}<p>Built in {built}.</p></div>')
    return "\n".join(blocks)


def page_part(folder, network, files, link):
    """Write the page's files into `folder`, "draw" beside the pages, and return the part of the page that draws, as HTML; None without the runtime.

    `network` is what `open_network` returned, `files` the `Files` of the pages, for what the reader without the network gets.
    """
    package = npm_package()
    if package is None:
        return None
    model, schedule, shape = network
    steps = min(20, schedule.T)
    folder.mkdir(parents=True, exist_ok=True)
    unpack(package, folder)
    write_network(half(model), schedule, shape, folder)
    still, slider = stored_drawing(model, schedule, shape, steps)
    Image.fromarray(still.squeeze()).save(folder / "still.png", optimize=True)
    loaded = sum((folder / name).stat().st_size for name in ("model.onnx", LIBRARY, WASM))
    blanks = {"STORED": files.players(slider), "CODE": code_blocks(link), "MEGABYTES": f"{loaded / 1e6:.0f}"}
    blanks |= {"TMAX": str(schedule.T), "STEPS": str(steps)}
    blanks |= {"STILL_WIDTH": str(still.shape[1]), "STILL_HEIGHT": str(still.shape[0])}
    part = (ROOT / "docs" / "draw.html").read_text(encoding="utf-8")
    for name, value in blanks.items():
        part = part.replace(f"{{{{{name}}}}}", value)
    return part


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="_static/icon.svg"><link rel="stylesheet" href="_static/draw/draw.css">
<style>{colours}</style></head><body class="alone"><main><h1>{title}</h1>{part}</main></body></html>"""


def write_page(network, site):
    """The page by itself, in the folder `site`; False, with a word on why, where the runtime can't be had."""
    if site.exists() and any(site.iterdir()) and not (site / "draw" / "about.json").exists():
        raise ValueError(f"--site: {site} holds something else, and would be emptied")
    if npm_package() is None:
        return False
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "_static", site / "_static")
    notebooks = f"{repository_address()}/blob/main/notebooks"
    part = page_part(site / "draw", network, Files(site, "draw"), lambda notebook, _: f"{notebooks}/{notebook}.ipynb")
    colours = HtmlFormatter().get_style_defs(".highlight")
    (site / "index.html").write_text(PAGE.format(title="Your network draws", colours=colours, part=part), encoding="utf-8")
    return True


def serve(site, browser):
    """Serve `site` on the loopback, and open a browser if asked to, until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        print(f"Your network draws at {address} (Ctrl-C ends it)", flush=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()  # a browser in a terminal would not return
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make live", description="A page in which a checkpoint of this library draws.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=SHIPPED)
    parser.add_argument("--image-size", type=int, help="side of the square pictures, where the file does not say it")
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "live", help="folder for the page (default: build/live)")
    parser.add_argument("--build", action="store_true", help="build the page, and serve nothing")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    options = parser.parse_args(arguments)
    try:
        size = options.image_size or (28 if options.checkpoint == SHIPPED else None)
        written = write_page(open_network(options.checkpoint, size), options.site)
    except (OSError, ValueError) as error:
        raise SystemExit(f"make live: {error}") from error
    if not written:
        raise SystemExit(1)
    if not options.build:
        serve(options.site, not options.no_browser)


if __name__ == "__main__":
    main()
