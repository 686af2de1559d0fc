# Exported from notebooks/07_training.ipynb: edit the notebook, not this file.
"""Files that are whole or not there: checkpoints, which hold a network and its schedule, and the format below them."""

import json
import os
import re
import zlib
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ddpm_lib.data import data_folder
from ddpm_lib.schedule import NoiseSchedule


def checksum(tensors):
    """CRC-32 of the bytes of all tensors, in the order of their names, as a string."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy(), crc)
    return str(crc)


def write_safetensors(path, tensors, metadata):
    """Write a safetensors file whole or not at all: a temporary file beside it, flushed to disk, then renamed over it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with open(temporary, "wb") as file:
            file.write(save(tensors, metadata | {"checksum": checksum(tensors)}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path):
    """Remove the temporary files of `path` that a killed process left beside it, and no others."""
    for file in Path(path).parent.glob("*.tmp"):
        if re.fullmatch(re.escape(Path(path).name) + r"\.\d+\.tmp", file.name):
            file.unlink(missing_ok=True)


def read_safetensors(path, kind):
    """Read `(tensors, metadata)` of a file that `write_safetensors` wrote with metadata["kind"] == kind.

    Raises FileNotFoundError, or ValueError where the file is empty, corrupt, pickled or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"path: {path} is no whole safetensors file (empty, corrupt, or pickled, which is never loaded): {error}"
        ) from error
    if metadata.get("kind") != kind:
        raise ValueError(f"path: {path} must be a {kind} of this library, got kind {metadata.get('kind')!r}")
    if "checksum" in metadata and metadata["checksum"] != checksum(tensors):
        raise ValueError(f"path: {path} is corrupt: its numbers are not the ones that were written")
    return tensors, metadata


def prefixed(prefix, tensors):
    """The same tensors under names that start with `prefix` and a dot."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unprefixed(prefix, tensors):
    """Those tensors whose names start with `prefix` and a dot, without it: undoes `prefixed`."""
    return {
        name.removeprefix(prefix + "."): tensor for name, tensor in tensors.items() if name.startswith(prefix + ".")
    }


NETWORKS = {"UNet": "ddpm_lib.unet", "ClassUNet": "ddpm_lib.guidance"}  # the networks that a file may name, and where each is defined


def describe_network(model):
    """What a file's metadata says of its network, as strings. Raises TypeError for one that is not among `NETWORKS`."""
    name = type(model).__name__
    if name not in NETWORKS:
        raise TypeError(f"model must be one of {', '.join(NETWORKS)}, got {name}")
    about = {"network": name, "predicts": "noise", "model": json.dumps(model.settings)}
    classes = getattr(model, "class_names", None)
    return about | ({"class names": json.dumps(list(classes))} if classes else {})


def build_network(path, metadata, weights):
    """The network that a file's metadata describes, with those weights; where the metadata is silent, a UNet that predicts noise.

    Raises ValueError, naming `path`, for a network that is not known here, and where weights and settings do not fit each other.
    """
    name, predicts = metadata.get("network", "UNet"), metadata.get("predicts", "noise")
    if name not in NETWORKS or predicts != "noise":
        known = f"known are {', '.join(NETWORKS)} that predict 'noise'"
        raise ValueError(f"path: {path} holds a network {name!r} that predicts {predicts!r}; {known}")
    try:
        model = getattr(import_module(NETWORKS[name]), name)(**json.loads(metadata.get("model", "")))
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"path: the weights and settings in {path} do not make a {name}: {error}") from error
    if "class names" in metadata:
        model.class_names = json.loads(metadata["class names"])
    return model


def save_checkpoint(path, model, schedule, notes=None):
    """Save a network and its schedule as one safetensors file; `notes` (a dict of strings) goes into its metadata.

    A network's `class_names`, where it has them, go along. Raises TypeError for a model that is not among `NETWORKS`.
    """
    tensors = prefixed("model", model.state_dict()) | {"betas": schedule.betas[1:]}
    write_safetensors(path, tensors, (notes or {}) | {"kind": "checkpoint"} | describe_network(model))


def load_checkpoint(path):
    """Load `(model, schedule)` from `save_checkpoint`'s file: on the CPU, in evaluation mode. Errors as in `read_safetensors`."""
    tensors, metadata = read_safetensors(path, "checkpoint")
    model = build_network(path, metadata, unprefixed("model", tensors))
    return model.eval(), NoiseSchedule(tensors["betas"])


def load_pretrained(name="fashion-mnist"):
    """The model that ships in the data folder, with its schedule: averaged (EMA) weights, on the CPU, in evaluation mode."""
    if name not in ("fashion-mnist", "fashion-mnist-classes"):
        raise ValueError(f"name must be 'fashion-mnist' or 'fashion-mnist-classes', got {name!r}")
    return load_checkpoint(data_folder() / f"{name}.safetensors")
