# Exported from notebooks/04_unet.ipynb: edit the notebook, not this file.
"""The network that looks at a noisy picture and its time, and predicts the noise in it."""

from numbers import Real

import torch
from torch import nn
from torch.nn import functional as F

from ddpm_lib.embedding import TimeEmbedding
from ddpm_lib.forward import check_float
from ddpm_lib.schedule import time_of_each


def zeroed(layer):
    """Set a layer's weights to zero, so that a block starts as the identity or a network's first answer is zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def normalise(channels):
    """Group normalisation in 8 groups, fewer where a group would hold under 4 channels. Nothing is shared in a batch."""
    return nn.GroupNorm(min(8, channels // 4), channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, with the time added in between: `(N, in, H, W)`, `(N, time)` -> `(N, out, H, W)`."""

    def __init__(self, in_channels, out_channels, time_channels):
        super().__init__()
        self.first = nn.Sequential(
            normalise(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, out_channels))
        self.second = nn.Sequential(
            normalise(out_channels), nn.SiLU(), zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x, time):
        hidden = self.first(x) + self.time(time)[:, :, None, None]  # (N, out, H, W)
        return self.shortcut(x) + self.second(hidden)


class Attention(nn.Module):
    """Self-attention over the pixels, added to its input: every place looks at every other. `(N, C, H, W)` -> the same."""

    def __init__(self, channels):
        super().__init__()
        self.norm = normalise(channels)
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        n, c, h, w = x.shape
        qkv = self.query_key_value(self.norm(x)).reshape(n, 3, c, h * w)
        query, key, value = qkv.transpose(2, 3).unbind(1)  # three of (N, HW, C)
        weights = torch.softmax(query @ key.transpose(1, 2) / c**0.5, dim=-1)  # (N, HW, HW), rows sum to 1
        mixed = (weights @ value).transpose(1, 2).reshape(n, c, h, w)
        return x + self.out(mixed)


class Block(nn.Module):
    """A residual block, followed by attention where it is asked for."""

    def __init__(self, in_channels, out_channels, time_channels, attend):
        super().__init__()
        self.residual = ResidualBlock(in_channels, out_channels, time_channels)
        self.attention = Attention(out_channels) if attend else nn.Identity()

    def forward(self, x, time):
        return self.attention(self.residual(x, time))


class Downsample(nn.Module):
    """Halve height and width with a strided 3x3 convolution: `(N, C, H, W)` -> `(N, C, H/2, W/2)`."""

    def __init__(self, channels):
        super().__init__()
        convolution = nn.Conv2d(channels, channels, 3)  # only for its usual random weights
        self.weight, self.bias = convolution.weight, convolution.bias  # (C, C, 3, 3), (C,)

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, stride=2, padding=1)


class Upsample(nn.Module):
    """Double height and width: nearest neighbour, then a 3x3 convolution. `(N, C, H, W)` -> `(N, C, 2H, 2W)`."""

    def __init__(self, channels):
        super().__init__()
        convolution = nn.Conv2d(channels, channels, 3)  # only for its usual random weights
        self.weight, self.bias = convolution.weight, convolution.bias  # (C, C, 3, 3), (C,)

    def forward(self, x):
        return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), self.weight, self.bias, padding=1)


def check_unet_settings(image_channels, base_channels, channel_multipliers, blocks_per_level):
    """Raise ValueError, naming the argument, for settings that no UNet can be built from."""
    if image_channels < 1 or blocks_per_level < 1:
        raise ValueError(
            f"image_channels and blocks_per_level must be at least 1, got {image_channels} and {blocks_per_level}"
        )
    if base_channels < 8 or base_channels % 8:
        raise ValueError(f"base_channels must be a multiple of 8, for the group normalisation, got {base_channels}")
    if not channel_multipliers or any(not isinstance(m, int) or m < 1 for m in channel_multipliers):
        raise ValueError(f"channel_multipliers must be positive integers, one a level, got {channel_multipliers}")


class UNet(nn.Module):
    """Predict the noise in `x_t`: `model(x_t, t)` with `x_t` `(N, C, H, W)` in the network's dtype; returns `(N, C, H, W)`.

    `t` is one number or a tensor `(N,)`, integer or float. Its range, 1..T, is for the loss and the samplers to check: the
    network looks at shapes and dtypes only, never at values, so it compiles, exports and maps, and waits for no device.
    One level of resolution for each of `channel_multipliers`, each half the size of the last, `blocks_per_level` residual
    blocks on the way down and one more on the way up, attention at the lowest resolution. H and W must halve that often.
    """

    def __init__(self, image_channels=1, base_channels=32, channel_multipliers=(1, 2, 3), blocks_per_level=1):
        super().__init__()
        check_unet_settings(image_channels, base_channels, channel_multipliers, blocks_per_level)
        self.settings = {"image_channels": image_channels, "base_channels": base_channels}
        self.settings |= {"channel_multipliers": list(channel_multipliers), "blocks_per_level": blocks_per_level}
        widths = [base_channels * multiplier for multiplier in channel_multipliers]
        time_channels = 4 * base_channels
        self.time_embedding = TimeEmbedding(base_channels, time_channels)
        self.stem = nn.Conv2d(image_channels, widths[0], 3, padding=1)
        skips = self.build_down(widths, blocks_per_level, time_channels)
        self.middle = nn.ModuleList([Block(widths[-1], widths[-1], time_channels, attend) for attend in (True, False)])
        self.build_up(widths, blocks_per_level, time_channels, skips)
        last = zeroed(nn.Conv2d(widths[0], image_channels, 3, padding=1))
        self.head = nn.Sequential(normalise(widths[0]), nn.SiLU(), last)

    def build_down(self, widths, blocks_per_level, time_channels):
        """The way down. Returns the width of every feature map that is kept for the way up."""
        self.down, channels, skips = nn.ModuleList(), widths[0], [widths[0]]
        for level, width in enumerate(widths):
            lowest = level == len(widths) - 1
            for _ in range(blocks_per_level):
                self.down.append(Block(channels, width, time_channels, attend=lowest))
                channels = width
                skips.append(channels)
            if not lowest:
                self.down.append(Downsample(channels))
                skips.append(channels)
        return skips

    def build_up(self, widths, blocks_per_level, time_channels, skips):
        """The way up: every block takes one kept feature map, the latest first, beside its input."""
        self.up, channels = nn.ModuleList(), widths[-1]
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(blocks_per_level + 1):
                self.up.append(Block(channels + skips.pop(), width, time_channels, attend=level == len(widths) - 1))
                channels = width
            if level > 0:
                self.up.append(Upsample(channels))

    def check_input(self, x_t, t):
        """Return `t` as a tensor `(N,)` on the device of `x_t`, or raise, naming what is wrong; looks at shapes and dtypes only."""
        check_float("x_t", x_t)
        channels, halvings = self.settings["image_channels"], len(self.settings["channel_multipliers"]) - 1
        if x_t.ndim != 4 or x_t.shape[1] != channels:
            raise ValueError(f"x_t must have shape (N, {channels}, H, W), got {tuple(x_t.shape)}")
        if any(side % 2**halvings for side in x_t.shape[2:]):
            raise ValueError(
                f"x_t must have height and width divisible by {2**halvings}, to be halved {halvings} times, got {tuple(x_t.shape[2:])}"
            )
        if x_t.dtype != self.stem.weight.dtype and not torch.is_autocast_enabled(x_t.device.type):
            raise TypeError(f"x_t must have the network's dtype, {self.stem.weight.dtype}, got {x_t.dtype}")
        if not isinstance(t, (Real, torch.Tensor)) or isinstance(t, bool):
            raise TypeError(f"t must be a number or a tensor, got {type(t).__name__}")
        if torch.is_tensor(t) and (t.ndim > 1 or (t.ndim == 1 and t.shape[0] != x_t.shape[0])):
            raise ValueError(f"t must be one number or have shape ({x_t.shape[0]},), one an image, got {tuple(t.shape)}")
        return time_of_each(t, x_t)

    def denoise(self, x_t, time):
        """The noise in `x_t` `(N, C, H, W)`, given the embedding of its time, `(N, 4 * base_channels)`."""
        x = self.stem(x_t)
        kept = [x]
        for layer in self.down:
            x = layer(x, time) if isinstance(layer, Block) else layer(x)
            kept.append(x)
        for block in self.middle:
            x = block(x, time)
        for layer in self.up:
            x = layer(torch.cat([x, kept.pop()], dim=1), time) if isinstance(layer, Block) else layer(x)
        return self.head(x)  # (N, C, H, W)

    def forward(self, x_t, t):
        return self.denoise(x_t, self.time_embedding(self.check_input(x_t, t)))
