"""The pieces of notebook 03: their hints, and checks that name the classic mistakes."""

import math

import torch

from course.check import (
    advising,
    assert_close,
    piece,
)


def embedding(t, dim, divide=None, period=10_000, scale=1.0, first=0):
    divide = dim // 2 - 1 if divide is None else divide
    powers = (first + torch.arange(dim // 2, dtype=torch.float64)) / divide
    angles = scale * t[:, None].double() * period**-powers
    return angles.sin(), angles.cos()


@piece(
    "sinusoidal_embedding",
    "dim/2 frequencies from 1 down to 1 / max_period in equal ratios; t times each, (N, dim/2); its sines, then its cosines.",
    slice(2, None),
)
def check_sinusoidal_embedding(lib):
    t, dim, P = torch.tensor([1, 2, 3, 5, 7]), 8, 100  # small, for float32 loses digits of large angles
    with advising((RuntimeError, IndexError), "every t meets every frequency: t[:, None] times them is (N, dim/2)"):
        got = lib.sinusoidal_embedding(t, dim, P)
    sin, cos = embedding(t, dim, period=P)

    def joined(t=t, period=P, **settings):
        return torch.cat(embedding(t, dim, period=period, **settings), 1)

    straight = t[:, None] * torch.linspace(1, 1 / P, dim // 2, dtype=torch.float64)
    mistakes = {
        "the cosines come first: sines first": torch.cat([cos, sin], 1),
        "sines and cosines take turns: all sines first, then all cosines": torch.stack([sin, cos], 2).flatten(1),
        "sines and cosines take turns, as in the Transformer: all sines first, and dim/2 - 1 in the exponent": torch.stack(
            embedding(t, dim, 4, P), 2
        ).flatten(1),
        "dim/2 where dim/2 - 1 belongs in the exponent: the last frequency must be 1 / max_period": joined(divide=4),
        "the first frequency must be 1: k runs from 0": joined(divide=4, first=1),
        "t was scaled to [0, 1]: with period 10000 most columns are constant; take t as it is": joined(scale=1e-3),
        "the frequencies rise to max_period: 1 is the highest, 1 / max_period the lowest": joined(period=1 / P),
        "the frequencies lie on a line: they fall in equal ratios, powers of max_period": torch.cat(
            [straight.sin(), straight.cos()], 1
        ),
        "the angles are multiplied by 2 pi: they are t times the frequency": joined(scale=2 * math.pi),
        "max_period is not used": joined(period=10_000),
        "sines and cosines alternate over the rows, the times, not over the columns": torch.where(
            torch.arange(len(t))[:, None] % 2 == 0, torch.cat([sin, sin], 1), torch.cat([cos, cos], 1)
        ),
        "rows and columns are swapped: one row for each t": joined().T,
        "the cosines stand below the sines: beside them, dim=1": torch.cat([sin, cos], 0),
        "only sines": torch.cat([sin, sin], 1),
    }
    assert_close("the embedding of t = 1, 2, 3, 5, 7 with max_period = 100", got, joined(), mistakes, 1e-3)
    late = torch.tensor([1, 10, 500, 1000])
    right = joined(late, 10_000)
    assert_close("the embedding of t = 1, 10, 500, 1000", lib.sinusoidal_embedding(late, dim), right, tolerance=1e-3)
    assert got.dtype == torch.float32, f"the embedding must be float32, like the weights it meets; yours is {got.dtype}"


@piece(
    "TimeEmbedding.forward",
    "The sinusoidal features of t, of width self.dim, in the dtype of the layers' weights, through self.layers.",
)
def check_time_embedding(lib):
    torch.manual_seed(0)
    net, t = lib.TimeEmbedding(8, 16), torch.tensor([1, 10, 500, 1000])
    features = torch.cat(embedding(t, 8), 1).float()
    with torch.no_grad():
        scaled = torch.cat(embedding(t, 8, scale=1e-3), 1).float()
        mistakes = {
            "the bare features: self.layers is never called": features,
            "t was scaled to [0, 1]: at those times the features hardly change": net.layers(scaled),
            "t is off by one, t - 1": net.layers(torch.cat(embedding(t - 1, 8), 1).float()),
            "the first linear layer alone": net.layers[0](features),
        }
        assert_close("TimeEmbedding(8, 16)(t)", net(t), net.layers(features), mistakes, 1e-4)
        with advising(
            RuntimeError, "in double precision it fails: the features need the dtype of self.layers[0].weight"
        ):
            net.double()(t)
