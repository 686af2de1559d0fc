"""The pieces of notebook 01: their hints, and checks that name the classic mistakes."""

import torch

from course.check import (
    assert_moments,
    check_tensor,
    check_unchanged,
    draws_alike,
    piece,
    seeded,
)


@piece(
    "noise_step",
    "Eq. 2 as one line: mean plus standard deviation times noise. `noise_like(x, generator)` draws the noise.",
    slice(3, None),
)
def check_noise_step(lib):
    b, x = 0.02, torch.full((200_000, 1), 2.0)
    drawn = check_unchanged("noise_step", x, lambda x: lib.noise_step(x, b, seeded()))
    check_tensor("noise_step", drawn)
    assert drawn.shape == x.shape, f"noise_step must keep the shape {tuple(x.shape)}, yours gives {tuple(drawn.shape)}"
    right, m = (1 - b) ** 0.5 * 2, b**0.5
    assert (drawn != drawn[0]).any(), "all entries of x_t are alike: draw new noise for every entry"
    assert_moments(
        "your x_t (from x = 2 with beta = 0.02)",
        drawn,
        right,
        b,
        {
            "beta where its square root belongs, a variance taken for a standard deviation": (right, b**2),
            "uniform noise (rand) where normal noise (randn) belongs": (right + m / 2, b / 12),
            "nothing shrinks: x needs the factor sqrt(1 - beta)": (2, b),
            "x shrinks by 1 - beta, the square root was left off": ((1 - b) * 2, b),
            "the two coefficients are swapped": (m * 2, 1 - b),
            "a square root too many on the noise": (right, m),
            "both square roots were left off": ((1 - b) * 2, b**2),
            "the noise is not scaled: it needs the factor sqrt(beta)": (right, 1),
            "1 - sqrt(beta) where sqrt(1 - beta) belongs, in front of x": ((1 - m) * 2, b),
        },
    )
    draws_alike("noise_step", lambda g: lib.noise_step(x[:3], b, g))


def chain_moments(betas, mean=1.0, variance=0.0):
    """Means and variances along the chain that starts at `mean`."""
    moments = [(mean, variance)]
    for b in betas:
        mean, variance = (1 - b) ** 0.5 * mean, (1 - b) * variance + b
        moments.append((mean, variance))
    return moments


@piece(
    "noise_chain",
    "Begin the list with x_0, append a noise_step of the last state for every beta of check_betas(betas).tolist(), and stack the list.",
    slice(1, None),
)
def check_noise_chain(lib):
    betas, x_0 = [0.1, 0.3, 0.6], torch.full((100_000, 1), 2.0)
    chain = lib.noise_chain(x_0, betas, seeded())
    assert not isinstance(chain, list), "noise_chain returns a list: stack its states, torch.stack(...)"
    check_tensor("noise_chain", chain)
    count = len(chain)
    assert chain.shape != x_0.shape, "noise_chain returns one state: stack all of them, x_0 first"
    assert count != 3, "noise_chain has T states where T + 1 belong: x_0 is the first of them, x_T the last"
    assert chain.shape == (4, *x_0.shape), (
        f"noise_chain must have shape {(4, *x_0.shape)}, yours has {tuple(chain.shape)}"
    )
    assert not torch.equal(chain[-1], x_0), "noise_chain runs backwards: x_0 comes first"
    assert torch.equal(chain[0], x_0), "the first state must be x_0 itself, without noise"
    backwards, same_noise = chain_moments(betas[::-1], 2.0), 0.0
    for t, (b, moments) in enumerate(zip(betas, chain_moments(betas, 2.0)[1:], strict=True), start=1):
        same_noise = (1 - b) ** 0.5 * same_noise + b**0.5
        mistakes = {
            "every step starts from x_0: start each from the state before": ((1 - b) ** 0.5 * 2, b),
            "the betas run backwards: beta_1 comes first": backwards[t],
            "the first beta in every step": chain_moments([betas[0]] * 3, 2.0)[t],
            "the same noise in every step: each must draw its own": (moments[0], same_noise**2),
        }
        assert_moments(f"state {t} of your chain (from x_0 = 2)", chain[t], *moments, mistakes)
    draws_alike("noise_chain", lambda g: lib.noise_chain(x_0[:3], betas, g))
