"""The UNet: shapes, independence of the images in a batch, no dead weights, and time that matters."""

import pytest
import torch
from conftest import seeded
from torch.func import functional_call, grad, vmap

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
    for t in (None, "5", True, torch.tensor([True, False])):
        with pytest.raises(TypeError, match="^t must be"):
            small()(x_t, t)
    for t in (torch.tensor([1, 2, 3]), torch.tensor([[1, 2]])):
        with pytest.raises(ValueError, match="^t must be one number or have shape"):
            small()(x_t, t)


def test_time_is_one_number_or_one_an_image_and_may_be_a_float():
    model, x_t = awake(small()), torch.randn(2, 1, 8, 8, generator=seeded())
    wanted = model(x_t, torch.tensor([5, 5]))
    for t in (5, 5.0, torch.tensor(5), torch.tensor([5.0, 5.0])):
        assert torch.equal(model(x_t, t), wanted)
    assert not torch.equal(model(x_t, 5.5), wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_float_type_answers_in_its_own(dtype):
    model, x_t, t = awake(small()), torch.randn(2, 1, 8, 8, generator=seeded()), torch.tensor([1, 1000])
    full = model(x_t, t)
    with pytest.raises(TypeError, match="^x_t must have the network's dtype, torch.float32, got"):
        model(x_t.to(dtype), t)
    answer = model.to(dtype)(x_t.to(dtype), t)
    assert answer.dtype == dtype and torch.allclose(answer.float(), full, atol=0.05)


def test_autocast_takes_the_float32_network():
    model, x_t = awake(small()), torch.randn(2, 1, 8, 8, generator=seeded())
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x_t, 5).dtype == model(x_t.bfloat16(), 5).dtype == torch.bfloat16


def test_a_subclass_adds_to_the_embedding_and_copies_nothing():
    class Labelled(UNet):
        def forward(self, x_t, t, label):
            return self.denoise(x_t, self.time_embedding(self.check_input(x_t, t)) + label)

    model, x_t = awake(small()), torch.randn(2, 1, 8, 8, generator=seeded())
    labelled = Labelled(**model.settings)
    labelled.load_state_dict(model.state_dict())
    assert torch.equal(labelled(x_t, 5, torch.zeros(2, 32)), model(x_t, 5))
    assert not torch.equal(labelled(x_t, 5, torch.ones(2, 32)), model(x_t, 5))


@pytest.fixture(scope="module")
def traced():
    """A small network with two batches, of 3 and of 5 pictures, and what it says about them."""
    model, batches = awake(small()).eval(), []
    for n in (3, 5):
        x_t, t = torch.randn(n, 1, 8, 8, generator=seeded(n)), torch.linspace(1, 1000, n).long()
        batches.append((x_t, t, model(x_t, t).detach()))
    return model, batches


def test_compiles_in_one_piece(traced):
    model, batches = traced
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for x_t, t, answer in batches:
        assert torch.allclose(compiled(x_t, t), answer, atol=1e-5)


def test_is_exported_for_any_batch(traced, tmp_path):
    """By torch.export, and from there to ONNX, whose runtime knows nothing of torch."""
    import onnxruntime

    model, ((x_t, t, _), (more, more_t, answer)) = traced
    any_number = ({0: torch.export.Dim("N")},) * 2
    exported = torch.export.export(model, (x_t, t), dynamic_shapes=any_number)
    assert torch.allclose(exported.module()(more, more_t), answer, atol=1e-5)
    torch.onnx.export(exported, dynamo=True, verbose=False).save(tmp_path / "unet.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "unet.onnx")
    (found,) = session.run(None, {"x_t": more.numpy(), "t": more_t.numpy()})
    assert torch.allclose(torch.from_numpy(found), answer, atol=1e-5)


def test_maps_over_pictures_and_has_a_gradient_for_each(traced):
    model, ((x_t, t, answer), _) = traced
    assert torch.allclose(vmap(lambda x, t: model(x[None], t[None])[0])(x_t, t), answer, atol=1e-5)

    def loss(parameters, x, t):
        return functional_call(model, parameters, (x[None], t[None])).square().mean()

    each = vmap(grad(loss), in_dims=(None, 0, 0))(dict(model.named_parameters()), x_t, t)
    for i in range(len(x_t)):
        alone = torch.autograd.grad(model(x_t[[i]], t[[i]]).square().mean(), model.parameters())
        assert all(torch.allclose(one[i], other, atol=1e-5) for one, other in zip(each.values(), alone, strict=True))


def test_shapes_can_be_had_without_any_numbers():
    model, x_t = small().to("meta"), torch.empty(2, 1, 8, 8, device="meta")
    assert model(x_t, 5).shape == model(x_t, torch.empty(2, device="meta")).shape == x_t.shape


@pytest.mark.parametrize("settings, word", [
    ({"base_channels": 12}, "base_channels"), ({"channel_multipliers": ()}, "channel_multipliers"),
    ({"channel_multipliers": (1, 0)}, "channel_multipliers"), ({"image_channels": 0}, "image_channels"),
    ({"blocks_per_level": 0}, "blocks_per_level"),
])  # fmt: skip
def test_bad_settings_are_named(settings, word):
    with pytest.raises(ValueError, match=word):
        UNet(**settings)
