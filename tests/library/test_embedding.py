"""The time embedding: its identities, and diffusers as a witness."""

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from hypothesis import given
from hypothesis import strategies as st

from ddpm_lib.embedding import TimeEmbedding, sinusoidal_embedding


@given(dim=st.integers(2, 64).map(lambda half: 2 * half), t=st.integers(0, 4000))
def test_every_time_has_the_same_norm(dim, t):
    """Each pair (sin, cos) lies on a circle, so the norm is sqrt(dim / 2) at any t."""
    features = sinusoidal_embedding(torch.tensor([t]), dim)
    assert features.shape == (1, dim) and features.dtype == torch.float32
    assert features.norm().item() == pytest.approx((dim / 2) ** 0.5, rel=1e-4)


def test_similarity_depends_only_on_the_distance_in_time():
    features = sinusoidal_embedding(torch.arange(1000), 64)
    similarity = features @ features.T
    for distance in (0, 1, 17, 300):
        along = similarity.diagonal(distance)
        assert along.max() - along.min() < 1e-2
    assert (similarity.diagonal() > similarity.diagonal(1).max()).all()


def test_a_shift_in_time_is_a_rotation():
    t, shift, dim = torch.arange(50), 13, 32
    sines, cosines = sinusoidal_embedding(t, dim).double().chunk(2, dim=1)
    turn_sin, turn_cos = sinusoidal_embedding(torch.tensor([shift]), dim).double().chunk(2, dim=1)
    shifted = torch.cat([sines * turn_cos + cosines * turn_sin, cosines * turn_cos - sines * turn_sin], dim=1)
    assert torch.allclose(shifted, sinusoidal_embedding(t + shift, dim).double(), atol=1e-4)


def test_no_two_times_look_alike():
    features = sinusoidal_embedding(torch.arange(1, 1001), 32)
    distance = torch.cdist(features, features) + 10 * torch.eye(1000)
    assert distance.min() > 0.1


def test_parity_with_diffusers():
    t = torch.tensor([0, 1, 17, 999])
    theirs = get_timestep_embedding(t, 128)
    assert torch.allclose(sinusoidal_embedding(t, 128), theirs, atol=1e-4)


def test_time_embedding_is_different_for_different_times():
    out = TimeEmbedding(32, 128)(torch.tensor([1, 2, 900]))
    assert out.shape == (3, 128)
    assert torch.pdist(out).min() > 0


def test_between_two_steps_there_is_time_too():
    """A float t is read like an integer one, in float32 whatever its own dtype, and 3.5 lies between 3 and 4."""
    t = torch.tensor([1, 500, 1000])
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(sinusoidal_embedding(t.to(dtype), 32), sinusoidal_embedding(t, 32))
    before, between, after = sinusoidal_embedding(torch.tensor([3, 3.5, 4]), 32)
    assert max((between - before).norm(), (between - after).norm()) < (after - before).norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_embedding_has_the_dtype_of_its_layers(dtype):
    """The angles are float32 even then: bfloat16 can't count to 1000."""
    embedding, t = TimeEmbedding(32, 64), torch.tensor([999, 1000])
    full = embedding(t)
    half = embedding.to(dtype)(t)
    assert half.dtype == dtype and torch.allclose(half.float(), full, atol=0.05)


@pytest.mark.parametrize("dim", [0, 2, 7, -4])
def test_bad_dim_is_refused(dim):
    with pytest.raises(ValueError, match="^dim must be even and at least 4"):
        sinusoidal_embedding(torch.tensor([1]), dim)


@pytest.mark.parametrize("t", [torch.tensor([True]), torch.tensor([1j]), torch.tensor([[1]]), 3])
def test_bad_t_is_refused(t):
    with pytest.raises(TypeError, match="^t must be an integer or float tensor of shape"):
        sinusoidal_embedding(t, 8)
