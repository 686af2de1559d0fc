# Exported from notebooks/01_forward_diffusion.ipynb: edit the notebook, not this file.
"""One noising step and the chain of them: the process q that turns a picture into noise (Ho et al. 2020, Eq. 2)."""

import torch


def check_float(name, x):
    """Raise TypeError unless `x` is a float tensor, ValueError if it is empty; `name` is what the message calls it."""
    if not torch.is_tensor(x) or not x.is_floating_point():
        raise TypeError(f"{name} must be a float tensor, got {x.dtype if torch.is_tensor(x) else type(x).__name__}")
    if x.ndim == 0 or x.numel() == 0:
        raise ValueError(f"{name} must hold a batch of at least one, got shape {tuple(x.shape)}")


def noise_like(x, generator=None):
    """Standard normal noise of the shape, dtype and device of `x`, drawn on the generator's own device.

    It is drawn in float32 and converted: one seed gives one noise in every dtype.
    """
    device = x.device if generator is None else generator.device
    return torch.randn(x.shape, generator=generator, dtype=torch.float32, device=device).to(x.device, x.dtype)


def noise_step(x, beta, generator=None):
    """One step of the forward process: a draw from q(x_t | x_{t-1}) = N(sqrt(1 - beta) x_{t-1}, beta I) (Eq. 2).

    `x` is a float batch of any shape, `beta` a variance with 0 < beta < 1. Returns a tensor like `x`.
    """
    check_float("x", x)
    beta = float(beta)
    if not 0 < beta < 1:
        raise ValueError(f"beta must lie in (0, 1), got {beta}")
    return (1 - beta) ** 0.5 * x + beta**0.5 * noise_like(x, generator)


def check_betas(betas):
    """Return beta_1 .. beta_T as float64 `(T,)` on the CPU; raise TypeError unless they are numbers, ValueError unless 0 < beta < 1."""
    try:
        betas = torch.as_tensor(betas.detach().cpu() if torch.is_tensor(betas) else betas, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"betas must be numbers of shape (T,), got {betas!r}") from None
    if betas.ndim != 1 or len(betas) == 0:
        raise ValueError(f"betas must have shape (T,) with T > 0, got {tuple(betas.shape)}")
    if not ((1 - betas < 1) & (betas < 1)).all():  # below 1e-16, 1 - beta is 1 in float64
        raise ValueError(f"betas must lie in (0, 1) and above 1e-16, got values from {betas.min()} to {betas.max()}")
    return betas


def noise_chain(x_0, betas, generator=None):
    """Run the whole chain q(x_1, ..., x_T | x_0) one step at a time (Eq. 2).

    `betas` holds beta_1 .. beta_T, each in (0, 1). Returns x_0, x_1, ..., x_T stacked: `(len(betas) + 1, *x_0.shape)`.
    """
    check_float("x_0", x_0)
    states = [x_0]
    for beta in check_betas(betas).tolist():
        states.append(noise_step(states[-1], beta, generator))
    return torch.stack(states)  # (T + 1, N, ...)
