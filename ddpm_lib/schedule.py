# Exported from notebooks/02_noise_schedule.ipynb: edit the notebook, not this file.
"""The schedule of betas and everything that follows from it: alpha bar, the closed form of q, and the posterior."""

import math
import warnings
from numbers import Integral

import torch

from ddpm_lib.forward import check_float


def check_steps(T):
    """Raise unless `T`, a number of diffusion steps, is an integer of at least 2."""
    if not isinstance(T, int) or isinstance(T, bool):
        raise TypeError(f"T must be an integer, got {type(T).__name__}")
    if T < 2:
        raise ValueError(f"T must be at least 2, got {T}")


def linear_betas(T):
    """The paper's linear schedule (Sec. 4), scaled by 1000 / T so that any T ends in noise.

    Returns beta_1 .. beta_T, float64 `(T,)`, capped at 0.999. At T = 1000 they run from 1e-4 to 0.02.
    """
    check_steps(T)
    return (1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).clamp(max=0.999)


def cosine_betas(T):
    """The cosine schedule of Nichol and Dhariwal 2021 (Eq. 17): alpha_bar_t = f(t) / f(0), f(t) = cos^2((t/T + s) / (1 + s) * pi/2).

    Returns beta_1 .. beta_T, float64 `(T,)`, capped at 0.999; s = 0.008.
    """
    check_steps(T)
    s = 0.008
    time = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bars = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2  # up to the factor f(0), which cancels below
    return (1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=0.999)


def check_time(t, batch_size, lowest, highest):
    """Return `t` as an int64 CPU tensor of shape `(1,)` or `(batch_size,)`, or raise.

    `t` is an int, for the whole batch, or an integer tensor `(batch_size,)`, with lowest <= t <= highest.
    """
    kind = t.dtype if torch.is_tensor(t) else type(t).__name__
    if (
        not isinstance(t, (Integral, torch.Tensor))
        or kind in ("bool", torch.bool)
        or torch.is_floating_point(torch.as_tensor(t))
    ):
        raise TypeError(f"t must be an int or an integer tensor, got {kind}")
    t = torch.as_tensor(t, dtype=torch.int64).cpu()
    if t.ndim > 1 or (t.ndim == 1 and len(t) != batch_size):
        raise ValueError(f"t must be one int or have shape ({batch_size},), one entry an image, got {tuple(t.shape)}")
    if t.min() < lowest or t.max() > highest:
        allowed = f"at or above {lowest}" if highest == math.inf else f"in {lowest}..{highest}"
        raise ValueError(f"t must lie {allowed}, got values from {t.min()} to {t.max()}")
    return t.reshape(-1)


def per_image(coefficients, x):
    """Shape `coefficients`, `(1,)` or `(N,)`, to multiply `x` `(N, ...)`: `(1 or N, 1, ..., 1)`, in its dtype and on its device."""
    return coefficients.reshape(-1, *[1] * (x.ndim - 1)).to(x.dtype).to(x.device)


class NoiseSchedule:
    """The forward process with betas beta_1 .. beta_T, and all that can be computed from them (Ho et al. 2020, Sec. 2).

    Time is the paper's: t = 0 is the clean image, t = T the noisiest. `betas`, `alphas`, `alpha_bars` and `snr` are float64
    CPU tensors of length T + 1 with betas[0] = 0 and alpha_bars[0] = 1. Coefficients are formed in float64 and cast to the
    dtype and device of the tensor they multiply. Wherever a method takes `t`, it is an int or an integer tensor `(N,)`.
    """

    def __init__(self, betas):
        betas = torch.as_tensor(betas, dtype=torch.float64).detach().cpu()
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas must have shape (T,) with T > 0, got {tuple(betas.shape)}")
        if not ((betas > 0) & (betas < 1)).all():
            raise ValueError(f"betas must lie in (0, 1), got values from {betas.min()} to {betas.max()}")
        self.T = len(betas)
        self.betas = torch.cat([torch.zeros(1, dtype=torch.float64), betas])  # (T + 1,), like all below
        self.alphas = 1 - self.betas
        self.alpha_bars = self.alphas.cumprod(0)
        self.snr = self.alpha_bars / (1 - self.alpha_bars)  # infinite at t = 0
        if self.alpha_bars[-1] > 1e-3:
            warnings.warn(
                f"x_T is not noise: alpha_bar_T = {self.alpha_bars[-1]:.2g} is above 1e-3. Are the betas meant for a larger T?",
                stacklevel=2,
            )

    def check(self, t, lowest, **tensors):
        """Check float tensors of one shape against each other and `t` against them; return `t` as a tensor."""
        (first, x), *others = tensors.items()
        check_float(first, x)
        for name, other in others:
            check_float(name, other)
            if other.shape != x.shape:
                raise ValueError(f"{name} must have the shape of {first}, {tuple(x.shape)}, got {tuple(other.shape)}")
        return check_time(t, len(x), lowest, self.T)

    def signal_and_noise(self, t, x):
        """The two coefficients of Eq. 4, sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped to multiply `x`."""
        return per_image(self.alpha_bars[t].sqrt(), x), per_image((1 - self.alpha_bars[t]).sqrt(), x)

    def add_noise(self, x_0, t, noise):
        """Jump from x_0 to x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise (Eq. 4), t in 0..T. Shapes `(N, ...)`."""
        signal, spread = self.signal_and_noise(self.check(t, 0, x_0=x_0, noise=noise), x_0)
        return signal * x_0 + spread * noise

    def predict_x_0(self, x_t, t, noise):
        """Solve Eq. 4 for x_0, given x_t and the noise in it; t in 0..T. Not clipped."""
        signal, spread = self.signal_and_noise(self.check(t, 0, x_t=x_t, noise=noise), x_t)
        return (x_t - spread * noise) / signal

    def predict_noise(self, x_t, t, x_0):
        """Solve Eq. 4 for the noise, given x_t and x_0; t in 1..T, since x_0 itself holds no noise."""
        signal, spread = self.signal_and_noise(self.check(t, 1, x_t=x_t, x_0=x_0), x_t)
        return (x_t - signal * x_0) / spread

    def posterior(self, x_0, x_t, t):
        """Mean and variance of q(x_{t-1} | x_t, x_0), t in 1..T (Eq. 6 and 7).

        Returns `(mean, variance)`: the mean like `x_t`, the variance beta_tilde_t in a shape that broadcasts over it.
        At t = 1 the mean is x_0 and the variance 0.
        """
        t = self.check(t, 1, x_0=x_0, x_t=x_t)
        beta, alpha, before, now = self.betas[t], self.alphas[t], self.alpha_bars[t - 1], self.alpha_bars[t]
        weight_x_0 = per_image(before.sqrt() * beta / (1 - now), x_t)
        weight_x_t = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
        beta_tilde = per_image((1 - before) / (1 - now) * beta, x_t)
        return weight_x_0 * x_0 + weight_x_t * x_t, beta_tilde
