"""The UNet: shapes, independence of the images in a batch, no dead weights, and time that matters."""

import pytest
import torch
from conftest import seeded

from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.unet import Attention, UNet


def small(**settings):
    torch.manual_seed(0)
    return UNet(**{"base_channels": 8, "channel_multipliers": (1, 2)} | settings)


def awake(model):
    """The same model with its zeroed layers set to small random weights, as if it had been trained a little."""
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_default_is_the_size_that_was_promised():
    assert sum(p.numel() for p in UNet().parameters()) < 2_000_000  # 8 MB in float32


@pytest.mark.parametrize("shape, settings", [
    ((2, 1, 28, 28), {}),
    ((1, 3, 32, 32), {"image_channels": 3}),
    ((3, 1, 16, 24), {"channel_multipliers": (1, 2, 2, 4)}),
    ((2, 1, 7, 7), {"channel_multipliers": (2,)}),
    ((2, 1, 8, 8), {"blocks_per_level": 2}),
])  # fmt: skip
def test_output_has_the_shape_of_the_input(shape, settings):
    model, x_t = awake(small(**settings)), torch.randn(shape, generator=seeded())
    out = model(x_t, 5)
    assert out.shape == shape and torch.isfinite(out).all()
    assert torch.equal(out, model(x_t, torch.full((len(x_t),), 5)))


def test_images_in_a_batch_do_not_see_each_other():
    """Holds with GroupNorm; with BatchNorm in training mode it would not."""
    model, x_t, t = (
        awake(small()).train(),
        torch.randn(4, 1, 28, 28, generator=seeded()),
        torch.tensor([1, 300, 600, 1000]),
    )
    together = model(x_t, t)
    alone = torch.cat([model(x_t[i : i + 1], t[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"channel_multipliers": (1,)}, {"base_channels": 16}, {"base_channels": 32}])
def test_time_changes_the_answer(settings):
    """At every width: a group of one channel would subtract the time again."""
    model, x_t = awake(small(**settings)), torch.randn(1, 1, 28, 28, generator=seeded())
    assert (model(x_t, 1) - model(x_t, 900)).abs().max() > 1e-3


def test_fresh_network_predicts_zero():
    assert (small()(torch.randn(1, 1, 28, 28), 3) == 0).all()


def test_no_dead_parameters_after_a_few_steps(schedule, garments):
    """Zeroed layers hold back gradients at the first step only. An attention key's bias shifts every score alike: it never learns."""
    model = small()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    moved = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for step in range(6):
        optimizer.zero_grad()
        noise_prediction_loss(model, garments[:8], schedule, generator=seeded(step)).backward()
        for name, p in model.named_parameters():
            moved[name] += p.grad.abs()
        optimizer.step()
    assert all(total.any() for total in moved.values()), [name for name, total in moved.items() if not total.any()]


def test_attention_is_softmax_attention():
    block, x = awake(Attention(16)), torch.randn(2, 16, 5, 5, generator=seeded())
    query, key, value = block.query_key_value(block.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    expected = x + block.out(mixed.transpose(1, 2).reshape(x.shape))
    assert torch.allclose(block(x), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 1, 30, 28), (2, 1, 28, 27)])
def test_sizes_that_cannot_be_halved_are_refused(shape):
    with pytest.raises(ValueError, match="^x_t must have height and width divisible by 4"):
        UNet()(torch.zeros(shape), 1)


@pytest.mark.parametrize("x_t", [torch.zeros(2, 3, 28, 28), torch.zeros(28, 28), torch.zeros(0, 1, 28, 28)])
def test_bad_shapes_are_refused(x_t):
    with pytest.raises(ValueError, match="^x_t must"):
        small()(x_t, 1)


def test_bad_times_are_refused():
    x_t = torch.zeros(2, 1, 28, 28)
    for t in (0.5, torch.tensor([0.1, 0.2])):
        with pytest.raises(TypeError, match="^t must be an int"):
            small()(x_t, t)
    for t in (0, torch.tensor([1, 0]), torch.tensor([1, 2, 3])):
        with pytest.raises(ValueError, match="^t must"):
            small()(x_t, t)


@pytest.mark.parametrize("settings, word", [
    ({"base_channels": 12}, "base_channels"), ({"channel_multipliers": ()}, "channel_multipliers"),
    ({"channel_multipliers": (1, 0)}, "channel_multipliers"), ({"image_channels": 0}, "image_channels"),
    ({"blocks_per_level": 0}, "blocks_per_level"),
])  # fmt: skip
def test_bad_settings_are_named(settings, word):
    with pytest.raises(ValueError, match=word):
        UNet(**settings)
