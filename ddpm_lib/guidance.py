# Exported from notebooks/11_guidance.ipynb: edit the notebook, not this file.
"""Choose what it draws: labels that come and go, and the difference between two answers, turned up."""

import math
from numbers import Integral, Real

import torch
from torch import nn

from ddpm_lib.schedule import check_integer
from ddpm_lib.unet import UNet


def holds_integers(labels):
    """Whether this is a tensor of integers."""
    return torch.is_tensor(labels) and not labels.is_floating_point() and labels.dtype != torch.bool


def described(labels):
    """What came in the place of labels, for a message."""
    return f"{labels.dtype} {tuple(labels.shape)}" if torch.is_tensor(labels) else repr(labels)


class ClassUNet(UNet):
    """A `UNet` that can be told a class: `model(x_t, t, labels=None)`, `labels` integers `(N,)`, 0..classes - 1, or -1 for "no class".

    None is "no class" for all. Like t, labels are looked at for shape and dtype only: `Guided` and whoever trains check their range.
    """

    def __init__(self, classes=10, **settings):
        super().__init__(**settings)
        self.settings["classes"] = check_integer("classes", classes, 1)
        self.class_embedding = nn.Embedding(classes + 1, 4 * self.settings["base_channels"])
        nn.init.zeros_(self.class_embedding.weight.data[-1])  # the last row: no class

    def forward(self, x_t, t, labels=None):
        time = self.time_embedding(self.check_input(x_t, t))  # (N, 4 * base_channels)
        return self.denoise(x_t, time + self.class_embedding(self.rows(x_t, labels)))

    def rows(self, x_t, labels):
        """The row of the table for each picture, `(N,)`; the last one where there is no class."""
        if labels is None:
            labels = torch.full(x_t.shape[:1], -1, device=x_t.device)
        if not holds_integers(labels) or labels.shape != x_t.shape[:1]:
            raise ValueError(f"labels must be None or integers of shape ({x_t.shape[0]},), one a picture, got {described(labels)}")
        labels = labels.long().to(x_t.device)
        return torch.where(labels < 0, self.settings["classes"], labels)


def drop_labels(labels, probability, generator=None):
    """Integer labels `(N,)`, each by itself replaced by -1, "no class", with that probability, 0..1: a new tensor on the same device."""
    if not holds_integers(labels) or labels.ndim != 1:
        raise ValueError(f"labels must be a tensor of integers (N,), got {described(labels)}")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in 0..1, got {probability}")
    device = "cpu" if generator is None else generator.device
    dropped = torch.rand(labels.shape, generator=generator, device=device) < probability
    return labels.long().masked_fill(dropped.to(labels.device), -1)


class Guided(nn.Module):
    """Classifier-free guidance (Ho & Salimans 2022), again a model: `untold + scale * (told - untold)`, called `guided(x_t, t)`.

    `model` is called `(x_t, t, labels)`, at most twice. `labels` is one class or integers `(N,)`, -1 for none; `scale` a number: 0 is
    unconditional, 1 conditional; the paper's w is scale - 1. To save memory put `Batched` inside: `Guided(Batched(model, 100), labels, 3)`.
    """

    def __init__(self, model, labels, scale):
        super().__init__()
        self.model, self.scale = model, check_scale(scale)
        self.register_buffer("labels", check_labels(labels, known_classes(model)), persistent=False)

    def forward(self, x_t, t):
        labels = one_a_picture(self.labels, x_t)  # (N,)
        told = self.model(x_t, t, labels)
        if self.scale == 1:
            return told
        untold = self.model(x_t, t, torch.full_like(labels, -1))
        return untold + self.scale * (told - untold)


def known_classes(model):
    """How many classes the network in `model` knows, or None where it is none of ours; or raise, if it is one that knows no classes."""
    parts = model.modules() if isinstance(model, nn.Module) else ()
    network = next((part for part in parts if isinstance(part, UNet)), None)
    if network is not None and "classes" not in network.settings:
        raise ValueError(f"model must be one that can be told a class, as a ClassUNet, got a {type(network).__name__}")
    return network and network.settings["classes"]


def check_labels(labels, classes=None):
    """One label or integers `(N,)` as an int64 tensor, each in -1..classes - 1 (any number where `classes` is None); or raise, naming `labels`."""
    if isinstance(labels, Integral) and not isinstance(labels, bool):
        labels = torch.tensor(int(labels))
    if not holds_integers(labels) or labels.ndim > 1 or not labels.numel():
        raise ValueError(f"labels must be an integer or a tensor of integers (N,), got {described(labels)}")
    lowest, highest = labels.min().item(), labels.max().item()
    if lowest < -1 or (classes is not None and highest >= classes):
        known = "from 0 on" if classes is None else f"in 0..{classes - 1}"
        raise ValueError(f"labels must lie {known}, or be -1 for no class, got {lowest if lowest < -1 else highest}")
    return labels.long()


def check_scale(scale):
    """The scale as a float, or raise, naming it."""
    if not isinstance(scale, Real) or isinstance(scale, bool) or not math.isfinite(scale):
        raise ValueError(f"scale must be a finite number, got {scale!r}")
    return float(scale)


def one_a_picture(labels, x_t):
    """The labels, one for each picture of `x_t`: `(N,)` on its device."""
    if labels.ndim and labels.shape[0] != x_t.shape[0]:
        raise ValueError(
            f"labels must be one class or one for each of the {x_t.shape[0]} pictures, got {labels.shape[0]}; Batched goes inside: Guided(Batched(model, n), labels, scale)"
        )
    return labels.to(x_t.device).expand(x_t.shape[:1])
