# Exported from notebooks/05_noise_prediction_loss.ipynb: edit the notebook, not this file.
"""What the network is trained for: the simple loss, and a toy where the best possible answer is known exactly."""

import warnings

import torch
from torch.nn import functional as F

from ddpm_lib.forward import check_float, noise_like
from ddpm_lib.schedule import check_alike, time_of_each


def check_training_images(images):
    """Check a data set once, before training: raise ValueError for NaN or infinity, warn where images leave [-1, 1].

    `images` is a float tensor, `(N, C, H, W)` or points `(N, D)`, whose range is free.
    """
    check_float("images", images)
    if not torch.isfinite(images).all():
        raise ValueError("images must be finite, got NaN or infinity in them")
    if images.ndim == 4 and images.abs().max() > 1:
        warnings.warn(
            f"images lie in {images.min():.3g}..{images.max():.3g} and not in [-1, 1]. Pictures in 0..255 or 0..1 must be mapped to it; "
            "if the range is meant, as for latents or standardised data, sample with clip=False.",
            stacklevel=2,
        )


def noise_prediction_loss(model, x_0, schedule, t=None, noise=None, generator=None):
    """The simple loss (Eq. 14): the mean squared error of the noise that `model(x_t, t)` predicts.

    `x_0`: images `(N, C, H, W)`, in [-1, 1] as a rule (see `check_training_images`), or points `(N, D)`. `t`, in 1..T, is drawn
    uniformly for each image where it is not given, and `noise`, standard normal like `x_0`, likewise; both from `generator`.
    Returns a scalar tensor.
    """
    check_alike(x_0=x_0, noise=x_0 if noise is None else noise)
    if t is None:
        device = "cpu" if generator is None else generator.device
        t = torch.randint(1, schedule.T + 1, x_0.shape[:1], generator=generator, device=device)
    else:
        t = schedule.check(t, 1, x_0=x_0)
    if noise is None:
        noise = noise_like(x_0, generator)
    signal, spread = schedule.signal_and_noise(t, x_0)
    return F.mse_loss(model(signal * x_0 + spread * noise, time_of_each(t, x_0)), noise)


class GaussianMixtureDenoiser:
    """The exact answer to the simple loss where the data is a mixture of Gaussians; called like a model.

    `means` `(K, D)`, or `(K,)` for D = 1, `stds` `(K,)` positive, `weights` `(K,)` positive (made to sum to 1).
    `denoiser(x_t, t)` takes points `(N, D)` and returns E[noise | x_t] in the same shape and dtype, computed in float64.
    """

    def __init__(self, means, stds, weights, schedule):
        self.means, self.stds, self.weights = (torch.as_tensor(v, dtype=torch.float64) for v in (means, stds, weights))
        if self.means.ndim == 1:
            self.means = self.means[:, None]  # (K, D)
        if self.means.ndim != 2 or not len(self.means) or {len(self.means)} != {len(self.stds), len(self.weights)}:
            shapes = [tuple(v.shape) for v in (self.means, self.stds, self.weights)]
            raise ValueError(f"means, stds and weights must have shapes (K, D), (K,) and (K,), got {shapes}")
        if not ((self.stds > 0).all() and (self.weights > 0).all()):
            raise ValueError(f"stds and weights must be positive, got {self.stds.tolist()} and {self.weights.tolist()}")
        self.weights = self.weights / self.weights.sum()
        self.schedule = schedule

    def __call__(self, x_t, t):
        x = x_t.cpu().double()
        signal, spread = self.schedule.signal_and_noise(self.schedule.check(t, 1, x_t=x_t), x)  # each () or (N, 1)
        offset = x[:, None, :] - signal[..., None] * self.means  # (N, K, D)
        variance = signal**2 * self.stds**2 + spread**2  # (K,) or (N, K), of component k's x_t in every coordinate
        log_density = -(offset**2).sum(-1) / (2 * variance) - x.shape[1] / 2 * variance.log()
        share = torch.softmax(self.weights.log() + log_density, dim=1)  # (N, K), p(component | x_t)
        noise = spread * torch.einsum("nk,nkd->nd", share / variance, offset)  # E[noise | x_t]
        return noise.to(x_t.dtype).to(x_t.device)
