"""The pieces of notebook 04: their hints, and checks that name the classic mistakes."""

import torch
from torch.nn import functional as F

from course.check import (
    advising,
    assert_close,
    normal,
    piece,
    seeded,
)


def shaken(module, seed=0):
    """The module with random weights everywhere, also where it starts at zero and would hide a mistake."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def outputs(**mistakes):
    """What each mistake gives, where it runs at all."""
    values = {}
    for name, run in mistakes.items():
        try:
            values[name] = run()
        except RuntimeError:  # the shapes do not go together: then no answer can have this mistake
            continue
    return values


@piece(
    "ResidualBlock.forward",
    "self.first of x, plus self.time of the time for every pixel, through self.second; add the shortcut of x.",
)
@torch.no_grad()
def check_residual_block(lib):
    for widths in ((8, 8), (8, 16)):
        block = shaken(lib.ResidualBlock(*widths, 12))
        x, time = normal(2, 8, 4, 4).float(), normal(2, 12, seed=1).float()
        first, added, short_cut = block.first(x), block.time(time)[:, :, None, None], block.shortcut(x)
        right = short_cut + block.second(first + added)
        mistakes = {
            "the shortcut is missing: the block must be residual": block.second(first + added),
            "the time is never added": short_cut + block.second(first),
            "the time is added after the second convolution: add it before": short_cut + block.second(first) + added,
            "the time is added before the first convolution: add it after": short_cut
            + block.second(block.first(x + added if widths[0] == widths[1] else x)),
            "the time multiplies: add it": short_cut + block.second(first * added),
            "self.second is never called": short_cut + first + added,
            "the shortcut is added before the second convolution": block.second(first + added + short_cut),
            "self.shortcut is called on the hidden layer: it takes x": right - short_cut + first + added,
        }
        if widths[0] != widths[1]:
            mistakes.pop("self.shortcut is called on the hidden layer: it takes x")
        with advising(
            RuntimeError,
            "the shapes do not meet: self.time(time) is (N, out), for every pixel it must be (N, out, 1, 1)",
        ):
            got = block(x, time)
        assert_close(f"ResidualBlock{(*widths, 12)}", got, right, mistakes, 1e-4)


def attend(
    layer, x, scale=None, weigh=None, residual=True, project=True, norm=True, order=(0, 1, 2), split=True, back=True
):
    """Attention by plain formulas; each argument is one way to go wrong."""
    n, c, h, w = x.shape
    qkv = layer.query_key_value(layer.norm(x) if norm else x)
    parts = qkv.reshape(n, 3, c, h * w).transpose(2, 3).unbind(1) if split else qkv.reshape(n, h * w, 3, c).unbind(2)
    query, key, value = (parts[k] for k in order)
    scores = query @ key.transpose(1, 2) * (c**-0.5 if scale is None else scale)
    mixed = (torch.softmax(scores, dim=-1) if weigh is None else weigh(scores)) @ value
    mixed = (mixed.transpose(1, 2) if back else mixed).reshape(n, c, h, w)
    mixed = layer.out(mixed) if project else mixed
    return x + mixed if residual else mixed


@piece(
    "Attention.forward",
    "self.query_key_value of the normalised x holds the C channels of the query, then the key's, then the value's, for each of the H W places. Softmax of query . key / sqrt(C); the weighted values, through self.out, are added to x.",
    slice(1, None),
)
@torch.no_grad()
def check_attention(lib):
    layer, x = shaken(lib.Attention(8)), normal(2, 8, 3, 3).float()
    q, k, v = layer.query_key_value(layer.norm(x)).reshape(2, 3, 8, 9).unbind(1)  # by channel, not by place
    mistakes = {
        "attention is never applied: this is x itself": x,
        "not residual: add x": attend(layer, x, residual=False),
        "the scale 1 / sqrt(C) is missing": attend(layer, x, scale=1),
        "scaled by 1 / C, the square root was left off": attend(layer, x, scale=1 / 8),
        "scaled by sqrt(H W), it is sqrt(C), the length of a query": attend(layer, x, scale=1 / 3),
        "multiplied by sqrt(C), divide": attend(layer, x, scale=8**0.5),
        "softmax over the queries: each query's weights must sum to 1, so over the keys, the last dimension": attend(
            layer, x, weigh=lambda scores: scores.softmax(1)
        ),
        "softmax over the batch": attend(layer, x, weigh=lambda scores: scores.softmax(0)),
        "the weights are applied transposed: row i of them mixes the values for place i": attend(
            layer, x, weigh=lambda scores: scores.softmax(-1).transpose(1, 2)
        ),
        "the channels attend to each other: the scores must be (N, H W, H W)": x
        + layer.out((torch.softmax(q @ k.transpose(1, 2) / 8**0.5, -1) @ v).reshape(x.shape)),
        "no softmax": attend(layer, x, weigh=lambda scores: scores),
        "the scores are scaled after the softmax: scale them before": attend(
            layer, x, 1, weigh=lambda scores: scores.softmax(-1) / 8**0.5
        ),
        "x is not normalised first": attend(layer, x, norm=False),
        "self.out is never called": attend(layer, x, project=False),
        "query and key are swapped": attend(layer, x, order=(1, 0, 2)),
        "the value comes last: the channels are those of the query, then the key, then the value": attend(
            layer, x, order=(2, 1, 0)
        ),
        "channels and places are mixed up: reshape to (N, 3, C, H W) first, then transpose": attend(
            layer, x, split=False
        ),
        "places and channels are mixed up on the way back: transpose to (N, C, H W) first, then reshape": attend(
            layer, x, back=False
        ),
    }
    assert_close("Attention(8)", layer(x), attend(layer, x), mistakes, 1e-4)


@piece(
    "Upsample.forward",
    "F.interpolate doubles the sides (nearest); then F.conv2d with self.weight and self.bias, padding 1.",
)
@torch.no_grad()
def check_upsample(lib):
    layer, x = shaken(lib.Upsample(8)), normal(2, 8, 4, 4).float()

    def convolve(x):
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    double = F.interpolate(x, scale_factor=2, mode="nearest")
    mistakes = {
        "the convolution is never called": double,
        "the convolution comes first: double first, so that it can smooth the steps": F.interpolate(
            convolve(x), scale_factor=2
        ),
        "bilinear interpolation: the docstring says nearest neighbour": convolve(
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        ),
        "not doubled": convolve(x),
    }
    called = []

    def once(*_):
        called.append(1)
        assert len(called) < 2, (
            "self(...) calls this forward again: the convolution itself is F.conv2d, with self.weight and self.bias"
        )

    layer.register_forward_pre_hook(once)
    assert_close("Upsample(8)", layer(x), convolve(double), mistakes, 1e-4)


def run_unet(lib, net, x_t, t, keep_first=True, time=None, newest=-1, skip_first=False, middle=True, head=True):
    time = net.time_embedding(t) if time is None else time
    x = net.stem(x_t)
    kept = [x]
    for layer in net.down:
        x = layer(x, time) if isinstance(layer, lib.Block) else layer(x)
        kept.append(x)
    for block in net.middle if middle else []:
        x = block(x, time)
    for layer in net.up:
        if isinstance(layer, lib.Block):
            skip = kept.pop(newest)
            x = layer(torch.cat([skip, x] if skip_first else [x, skip], 1), time)
        else:
            x = layer(x)
    return net.head(x) if head else x


@piece(
    "UNet.denoise",
    "self.stem; down, keeping every feature map; middle; up, where each Block takes the latest kept map beside its input (torch.cat, dim=1); self.head. A Block takes the time too, other layers do not.",
)
@torch.no_grad()
def check_unet(lib):
    net = shaken(lib.UNet(1, 8, (1, 1)))
    x_t, t = normal(3, 1, 8, 8).float(), torch.tensor([3, 500, 900])
    right = run_unet(lib, net, x_t, t)
    nowhere = torch.zeros(3, 32)
    mistakes = outputs(
        **{
            "the time never reaches the blocks": lambda: run_unet(lib, net, x_t, t, time=nowhere),
            "all images get the time of the first": lambda: run_unet(lib, net, x_t, t[:1].expand(3)),
            "the kept maps are used oldest first: take the latest, pop()": lambda: run_unet(lib, net, x_t, t, newest=0),
            "torch.cat([kept, x]): x comes first, or trained weights do not fit": lambda: run_unet(
                lib, net, x_t, t, skip_first=True
            ),
            "self.middle is left out": lambda: run_unet(lib, net, x_t, t, middle=False),
            "self.head is never called": lambda: run_unet(lib, net, x_t, t, head=False),
            "the input is added to the output: the network predicts the noise itself": lambda: x_t + right,
        }
    )
    advice = "the maps do not fit together: the stem and every layer on the way down give one, and each Block on the way up takes the latest kept map, kept.pop()"
    with advising((RuntimeError, IndexError), advice):
        got = net(x_t, t)
    assert_close("UNet(1, 8, (1, 1))(x_t, t)", got, right, mistakes, 1e-4)
