"""How the pieces and exercises of notebook 04 are tried, and which mistakes are known."""

import torch

from course.check import Checks, normal, raised

checks = Checks()


def shaken(module):
    """The module with random weights everywhere, also where it starts at zero and would hide a mistake."""
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(0.4 * normal(*parameter.shape, seed=seed))
    return module.eval()


@checks.piece("ResidualBlock.forward", "self.first of x, plus self.time of the time for every pixel, through self.second; add the shortcut of x.", 1e-4)
def _(lib):
    x, time = normal(2, 8, 4, 4).float(), normal(2, 12, seed=1).float()
    found, wider = {"ResidualBlock(8, 8, 12)": shaken(lib.ResidualBlock(8, 8, 12))(x, time)}, shaken(lib.ResidualBlock(8, 16, 12))
    found["what ResidualBlock(8, 16, 12) raises"] = error = raised(wider, x, time)
    return found | ({"ResidualBlock(8, 16, 12)": wider(x, time)} if error == "no error" else {})


TIME, SUM = "self.time(time)[:, :, None, None]", "self.shortcut(x) + self.second(hidden)"
checks.mistakes("ResidualBlock.forward", [
    (SUM, "self.second(hidden)", "the shortcut is missing: the block must be residual"),
    (f" + {TIME}", "", "the time is never added"),
    (f" + {TIME}\n    return {SUM}", f"\n    return {SUM} + {TIME}", "the time is added after the second convolution: add it before"),
    (f"self.first(x) + {TIME}", f"self.first(x + {TIME})", "the time is added before the first convolution: add it after"),
    ("+ self.time", "* self.time", "the time multiplies: add it"),
    ("self.second(hidden)", "hidden", "self.second is never called"),
    (SUM, "self.second(hidden + self.shortcut(x))", "the shortcut is added before the second convolution"),
    ("self.shortcut(x)", "self.shortcut(hidden)", "self.shortcut is called on the hidden layer: it takes x"),
    ("self.shortcut(x)", "x", "where the widths differ x does not fit: add self.shortcut(x)"),
    ("[:, :, None, None]", "", "the shapes do not meet: self.time(time) is (N, out), for every pixel it must be (N, out, 1, 1)"),
])  # fmt: skip


HINT = (
    "self.query_key_value of the normalised x holds the C channels of the query, then the key's, then the value's, for each of the H W places. "
    "Softmax of query . key / sqrt(C); the weighted values, through self.out, are added to x."
)


@checks.piece("Attention.forward", HINT, 1e-4)
def _(lib):
    return {"Attention(8)": shaken(lib.Attention(8))(normal(2, 8, 3, 3).float())}


SPLIT, SCORES = "qkv.transpose(2, 3).unbind(1)", "query @ key.transpose(1, 2) / c ** 0.5"
SOFTMAX, BACK = f"torch.softmax({SCORES}, dim=-1)", "(weights @ value).transpose(1, 2).reshape"
BETWEEN = f"weights = {SOFTMAX}\n    mixed"
checks.mistakes("Attention.forward", [
    ("x + self.out(mixed)", "x", "attention is never applied: this is x itself"),
    ("x + self", "self", "not residual: add x"),
    (" / c ** 0.5", "", "the scale 1 / sqrt(C) is missing"),
    ("c ** 0.5", "c", "scaled by 1 / C, the square root was left off"),
    ("c ** 0.5", "(h * w) ** 0.5", "scaled by sqrt(H W), it is sqrt(C), the length of a query"),
    ("/ c", "* c", "multiplied by sqrt(C), divide"),
    ("dim=-1", "dim=1", "softmax over the queries: each query's weights must sum to 1, so over the keys, the last dimension"),
    ("dim=-1", "dim=0", "softmax over the batch"),
    ("weights @ value", "weights.transpose(1, 2) @ value", "the weights are applied transposed: row i of them mixes the values for place i"),
    (f"{SPLIT}\n    {BETWEEN} = {BACK}", f"qkv.unbind(1)\n    {BETWEEN} = (weights @ value).reshape", "the channels attend to each other: the scores must be (N, H W, H W)"),
    (SOFTMAX, SCORES, "no softmax"),
    (SOFTMAX, "torch.softmax(query @ key.transpose(1, 2), dim=-1) / c ** 0.5", "the scores are scaled after the softmax: scale them before"),
    ("self.norm(x)", "x", "x is not normalised first"),
    ("self.out(mixed)", "mixed", "self.out is never called"),
    ("query, key, value", "key, query, value", "query and key are swapped"),
    ("query, key, value", "value, key, query", "the value comes last: the channels are those of the query, then the key, then the value"),
    (f"3, c, h * w)\n    query, key, value = {SPLIT}", "h * w, 3, c)\n    query, key, value = qkv.unbind(2)", "channels and places are mixed up: reshape to (N, 3, C, H W) first, then transpose"),
    (BACK, "(weights @ value).reshape", "places and channels are mixed up on the way back: transpose to (N, C, H W) first, then reshape"),
])  # fmt: skip


@checks.piece("Upsample.forward", "F.interpolate doubles the sides (nearest); then F.conv2d with self.weight and self.bias, padding 1.", 1e-4)
def _(lib):
    layer, calls = shaken(lib.Upsample(8)), []

    def once(*_):
        calls.append(1)
        assert len(calls) < 2, "self(...) calls this forward again: the convolution itself is F.conv2d, with self.weight and self.bias"

    layer.register_forward_pre_hook(once)
    return {"Upsample(8)": layer(normal(2, 8, 4, 4).float())}


DOUBLE = "F.interpolate(x, scale_factor=2, mode='nearest')"
RIGHT = f"F.conv2d({DOUBLE}, self.weight, self.bias, padding=1)"
checks.mistakes("Upsample.forward", [
    (RIGHT, DOUBLE, "the convolution is never called"),
    (RIGHT, "F.interpolate(F.conv2d(x, self.weight, self.bias, padding=1), scale_factor=2)", "the convolution comes first: double first, so that it can smooth the steps"),
    ("nearest", "bilinear", "bilinear interpolation: the docstring says nearest neighbour"),
    (DOUBLE, "x", "not doubled"),
    (RIGHT, f"self({DOUBLE})", "self(...) calls this forward again"),
    (", padding=1", "", "without padding=1 the convolution cuts off the border"),
])  # fmt: skip


HINT = (
    "self.stem; down, keeping every feature map; middle; up, where each Block takes the latest kept map beside its input (torch.cat, dim=1); "
    "self.head. A Block takes the time too, other layers do not."
)


@checks.piece("UNet.denoise", HINT, 1e-4)
def _(lib):
    x_t, t = normal(3, 1, 8, 8).float(), torch.tensor([3, 500, 900])
    return {"UNet(1, 8, (1, 1))(x_t, t)": shaken(lib.UNet(1, 8, (1, 1)))(x_t, t)}


FIT = "the maps do not fit together: the stem and every layer on the way down give one, and each Block on the way up takes the latest kept map, kept.pop()"
checks.mistakes("UNet.denoise", [
    ("kept.pop()", "kept.pop(0)", FIT),
    ("[x, kept.pop()]", "[kept.pop(), x]", "torch.cat([kept, x]): x comes first, or trained weights do not fit"),
    ("self.middle", "[]", "self.middle is left out"),
    ("self.head(x)", "x", "self.head is never called"),
    ("return self", "return x_t + self", "the input is added to the output: the network predicts the noise itself"),
    ("kept = [x]", "kept = []", FIT),
    ("kept.append(x)", "kept += [x] * isinstance(layer, Block)", FIT),
    ("kept.pop()", "kept[-1]", "the latest kept map is taken again and again: kept.pop() takes it off the list"),
    ("torch.cat([x, kept.pop()], dim=1)", "x", "each Block on the way up needs a kept map beside its input: torch.cat([x, kept.pop()], dim=1)"),
])  # fmt: skip


@checks.exercise(1)
def _(answer, page):
    sizes = (32, 32, 128), (64, 32, 128), (16, 48, 64)
    return {f"the count for {size} (compare with [p.shape for p in ResidualBlock{size}.parameters()])": float(answer(*size)) for size in sizes}


ALL = "first + time + second + shortcut"
checks.mistakes(1, [
    (ALL, f"{ALL} - 2 * in_channels - 2 * out_channels", "a normalisation has parameters too: a scale and a shift for each channel"),
    (ALL, f"{ALL} - out_channels * (3 + (in_channels != out_channels))", "every convolution and linear layer has a bias for each output channel"),
    (ALL, "first + second + shortcut", "the linear layer that brings the time in is missing"),
    (" if in_channels != out_channels else 0", "", "where the widths agree the shortcut is the identity, without parameters"),
    (ALL, "first + time + second", "the shortcut is missing: a 1x1 convolution where the widths differ"),
])  # fmt: skip


@checks.exercise(2, 1e-4)
def _(answer, page):
    query, key, value = normal(3, 2, 10, 24).float()
    return {"the attention with 4 heads (compare with F.scaled_dot_product_attention on the split channels)": answer(2 * query, 2 * key, value, 4)}


EVERY_FOURTH = """
def exercise_2(query, key, value, heads):
    q, k, v = (x.unflatten(2, (-1, heads)).permute(0, 3, 1, 2) for x in (query, key, value))
    weights = torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, dim=-1)
    return (weights @ v).permute(0, 2, 3, 1).flatten(2)
"""
HEAD, SIZES = "(channels // heads) ** 0.5", "n, length, channels = query.shape"
checks.mistakes(2, [
    (SIZES, "(n, length, channels), heads = (query.shape, 1)", "the heads are ignored: this is attention with one head"),
    ("dim=-1", "dim=-2", "softmax over the wrong axis: each row (one query, all keys) must sum to 1"),
    (HEAD, "channels ** 0.5", "divide by the root of the width of one head, C / heads, not of C"),
    (f" / {HEAD}", "", "the division by the square root of the head's width is missing"),
    ("(weights @ v).transpose(1, 2)", "(weights @ v)", "heads and pixels are mixed up: transpose back before you reshape"),
    (None, EVERY_FOURTH, "head 0 has the first C / heads channels, not every fourth one"),
])  # fmt: skip


@checks.exercise(3, 1e-5)
def _(answer, page):
    torch.manual_seed(1)
    model, noise = page.awake(page.UNet(base_channels=16)), page.noise_for(page.garments[:4], seed=14)
    x_t = page.schedule.add_noise(page.garments[:4], 100, noise)
    errors = [float(error) for error in answer(model, x_t, 100, noise)]
    return {"the model's answer afterwards": model(x_t, 100), "the number of errors": len(errors), "your list of errors": errors}


checks.mistakes(3, [
    ("        handle.remove()\n", "", "the model is changed afterwards: call remove() on every handle, inside the loop, or the cuts add up"),
    ("skip_pairs(model)", "skip_pairs(model)[::-1]", "the order is reversed: skip_pairs begins with the stem"),
    ("zero_kept(width)", "lambda module, inputs: (inputs[0].index_fill(1, torch.arange(width), 0.0), inputs[1])", "the wrong channels are zeroed: the kept map comes last"),
    ("return errors", "return [error - ((model(x_t, t) - noise) ** 2).mean().item() for error in errors]", "return the errors themselves, not their increase over the whole model"),
    ("(zero_kept(width))\n", "(zero_kept(width))\n        handle.remove()\n", "nothing is cut: hook the layer that takes, before the model runs"),
])  # fmt: skip
