# Exported from notebooks/02_noise_schedule.ipynb: edit the notebook, not this file.
"""How much noise at each time, the jump to it, and one step back."""

import math
import warnings
from numbers import Integral

import torch

from ddpm_lib.forward import check_betas, check_float


def check_integer(name, value, lowest, highest=math.inf):
    """Return `value` as an int; raise TypeError unless it is an integer, NumPy's included, ValueError unless lowest <= value <= highest."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if not lowest <= value <= highest:
        allowed = f"be at least {lowest}" if highest == math.inf else f"lie in {lowest}..{highest}"
        raise ValueError(f"{name} must {allowed}, got {value}")
    return int(value)


def linear_betas(T):
    """The paper's linear schedule (Sec. 4), scaled by 1000 / T so that any T ends in noise.

    Returns beta_1 .. beta_T, float64 `(T,)`, capped at 0.999. At T = 1000 they run from 1e-4 to 0.02.
    """
    T = check_integer("T", T, 2)
    return (1000 / T * torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).clamp(max=0.999)


def cosine_betas(T):
    """The cosine schedule of Nichol and Dhariwal 2021 (Eq. 17): alpha_bar_t = f(t) / f(0), f(t) = cos^2((t/T + s) / (1 + s) * pi/2).

    Returns beta_1 .. beta_T, float64 `(T,)`, capped at 0.999; s = 0.008.
    """
    T = check_integer("T", T, 2)
    s = 0.008
    time = torch.arange(T + 1, dtype=torch.float64) / T
    alpha_bars = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2  # up to the factor f(0), which cancels below
    return (1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=0.999)


def check_time(t, batch_size, lowest, highest, name="t"):
    """Return `t`, one integer for the whole batch or an integer tensor `(batch_size,)`, as an int or int64 on the CPU.

    Raises TypeError for anything else, ValueError unless lowest <= t <= highest. `name` is what the messages call it.
    """
    if not torch.is_tensor(t):
        return check_integer(name, t, lowest, highest)
    if t.is_floating_point() or t.is_complex() or t.dtype == torch.bool:
        raise TypeError(f"{name} must be an integer tensor, got {t.dtype}")
    if t.ndim > 1 or (t.ndim == 1 and len(t) != batch_size):
        raise ValueError(f"{name} must be one int or have shape ({batch_size},), one entry an image, got {tuple(t.shape)}")
    t = t.cpu().long()
    if t.min() < lowest or t.max() > highest:
        raise ValueError(f"{name} must lie in {lowest}..{highest}, got values from {t.min()} to {t.max()}")
    return t if t.ndim else int(t)


def per_image(coefficients, x):
    """`coefficients`, one number `()` or `(N,)`, in the dtype of `x` `(N, ...)` and shaped to multiply it: `()` or `(N, 1, ..., 1)`.

    One number stays on the CPU, from where every device takes it without waiting; several are moved to the device of `x`.
    """
    if coefficients.ndim == 0:
        return coefficients.to(x.dtype)
    return coefficients.to(x.dtype).to(x.device).reshape(-1, *[1] * (x.ndim - 1))  # cast first: not every device has float64


def time_of_each(t, x):
    """`t`, one number or `(N,)`, as a tensor `(N,)` on the device of `x` `(N, ...)`: what a model is called with."""
    t = t.to(x.device) if torch.is_tensor(t) else torch.full((), t, device=x.device)
    return t.expand(x.shape[0])


class NoiseSchedule:
    """The forward process with betas beta_1 .. beta_T, and all that can be computed from them (Ho et al. 2020, Sec. 2).

    Time is the paper's: t = 0 is the clean image, t = T the noisiest. `betas`, `alphas`, `alpha_bars` and `snr` are float64
    CPU tensors of length T + 1 with betas[0] = 0 and alpha_bars[0] = 1. Coefficients are formed in float64 and cast to the
    dtype and device of the tensor they multiply. Wherever a method takes `t`, it is an int or an integer tensor `(N,)`.
    """

    def __init__(self, betas):
        betas = check_betas(betas)
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
        """Check float tensors of one shape against each other and `t` against them; return `t` as `check_time` does."""
        return check_time(t, check_alike(**tensors), lowest, self.T)

    def signal_and_noise(self, t, x):
        """The two coefficients of Eq. 4, sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), shaped to multiply `x`.

        Unlike the methods below it trusts `t`, and takes it on any device: it looks at no value.
        """
        both = torch.stack([self.alpha_bars, 1 - self.alpha_bars]).sqrt()  # (2, T + 1)
        both = both.to(x.dtype).to(t.device) if torch.is_tensor(t) else both
        signal, spread = both[:, t]  # at the one t, or at the t of each image
        return per_image(signal, x), per_image(spread, x)

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

    def check_step(self, t, s, **tensors):
        """Check a step from `t`, in 1..T, to an earlier `s`, in 0..t - 1, None for t - 1, and float tensors of one shape; return both."""
        batch_size = check_alike(**tensors)
        t = check_time(t, batch_size, 1, self.T)
        s = t - 1 if s is None else check_time(s, batch_size, 0, self.T, name="s")
        earlier = s < t  # a bool for two ints, else a tensor
        if not (earlier.all() if torch.is_tensor(earlier) else earlier):
            raise ValueError(f"s must be smaller than t, the step goes towards 0; got s = {s}, t = {t}")
        return t, s

    def posterior(self, x_t, t, x_0, s=None):
        """Mean and variance of q(x_s | x_t, x_0) for an earlier s, t - 1 if it is None; t in 1..T (Eq. 6 and 7).

        Returns `(mean, variance)`: the mean like `x_t`, the variance beta_tilde in a shape that broadcasts over it.
        With s = 0 the mean is x_0 and the variance 0.
        """
        t, s = self.check_step(t, s, x_t=x_t, x_0=x_0)
        before, now = self.alpha_bars[s], self.alpha_bars[t]
        alpha = now / before  # of the whole step from s to t: alphas[t] where s = t - 1
        beta = 1 - alpha
        weight_x_0 = per_image(before.sqrt() * beta / (1 - now), x_t)
        weight_x_t = per_image(alpha.sqrt() * (1 - before) / (1 - now), x_t)
        beta_tilde = per_image((1 - before) / (1 - now) * beta, x_t)
        return weight_x_0 * x_0 + weight_x_t * x_t, beta_tilde


def check_alike(**tensors):
    """Raise, naming the argument, unless all are float tensors of one shape `(N, ...)`; return N."""
    (first, x), *others = tensors.items()
    check_float(first, x)
    for name, other in others:
        check_float(name, other)
        if other.shape != x.shape:
            raise ValueError(f"{name} must have the shape of {first}, {tuple(x.shape)}, got {tuple(other.shape)}")
    return x.shape[0]
