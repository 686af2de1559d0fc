# Exported from notebooks/03_time_embedding.ipynb: edit the notebook, not this file.
"""Telling the network what time it is: sinusoidal features of t and the small network on top of them."""

import math

import torch
from torch import nn


def sinusoidal_embedding(t, dim, max_period=10_000):
    """Sines and cosines of `t` at dim/2 frequencies, from 1 down to 1 / max_period in equal ratios.

    `t`: integer or float tensor `(N,)`, since between two steps there is time too; `dim`: even, at least 4. Returns float32
    `(N, dim)`: the sines first, then the cosines, as in the program of Ho et al. 2020 (after Vaswani et al. 2017, Sec. 3.5).
    """
    if not torch.is_tensor(t) or t.ndim != 1 or t.is_complex() or t.dtype == torch.bool:
        got = (t.dtype, tuple(t.shape)) if torch.is_tensor(t) else type(t).__name__
        raise TypeError(f"t must be an integer or float tensor of shape (N,), got {got}")
    if dim < 4 or dim % 2:
        raise ValueError(f"dim must be even and at least 4, got {dim}")
    exponents = torch.arange(dim // 2, dtype=torch.float32, device=t.device) / (dim // 2 - 1)  # 0 .. 1
    frequencies = torch.exp(-math.log(max_period) * exponents)  # (dim/2,), radians a step
    angles = t[:, None].float() * frequencies  # (N, dim/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)  # (N, dim)


class TimeEmbedding(nn.Module):
    """Sinusoidal features of `t` `(N,)`, integer or float, through two linear layers, in their dtype: `(N, out_dim)`."""

    def __init__(self, dim, out_dim):
        super().__init__()
        self.dim = dim
        self.layers = nn.Sequential(nn.Linear(dim, out_dim), nn.SiLU(), nn.Linear(out_dim, out_dim))

    def forward(self, t):
        return self.layers(sinusoidal_embedding(t, self.dim).to(self.layers[0].weight.dtype))
