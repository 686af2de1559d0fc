"""DDIM and DPM-Solver++: against Algorithm 2, against exact flows, against diffusers; then encoding, precision and errors."""

import copy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import seeded
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from ddpm_lib.checkpoint import load_pretrained
from ddpm_lib.data import load_images
from ddpm_lib.fast_sampling import (
    ddim_encode,
    ddim_sample,
    ddim_step,
    dpm_solver_sample,
    dpm_solver_step,
    fresh_dpm_solver_step,
    sampling_times,
)
from ddpm_lib.loss import GaussianMixtureDenoiser, noise_prediction_loss
from ddpm_lib.sampling import even_times, last_state, predict, predicted_noise, reverse_step, sample, walk
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.unet import UNet

MEANS, STDS, WEIGHTS = (torch.tensor(v, dtype=torch.float64) for v in ([-0.5, 0.6], [0.1, 0.15], [0.3, 0.7]))
LEVELS = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
SAMPLERS = [ddim_sample, dpm_solver_sample]


def quantiles(alpha_bar):
    """Where LEVELS of the mixture's x_t lie: on a line the probability flow keeps every point at its quantile."""
    low, high = torch.full_like(LEVELS, -8), torch.full_like(LEVELS, 8)
    stds = (alpha_bar * STDS**2 + 1 - alpha_bar).sqrt()
    for _ in range(60):
        middle = (low + high) / 2
        below = (WEIGHTS * torch.special.ndtr((middle[:, None] - alpha_bar.sqrt() * MEANS) / stds)).sum(1) < LEVELS
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return ((low + high) / 2)[:, None]


def mixture(schedule):
    return GaussianMixtureDenoiser(MEANS, STDS, WEIGHTS, schedule)


def small_unet():
    torch.manual_seed(0)
    model = UNet(base_channels=8, channel_multipliers=(1, 2))
    torch.nn.init.normal_(model.head[-1].weight, std=0.1)
    return model


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.data(), st.sampled_from(["time", "quadratic", "log_snr"]))
def test_times_fall_from_T_to_0_without_repetition(T, data, spacing):
    steps = data.draw(st.integers(1, T))
    times = sampling_times(NoiseSchedule(linear_betas(T)), steps, spacing)
    assert len(times) == steps + 1 and times[0] == T and times[-1] == 0
    assert all(t > s for t, s in pairwise(times)) and all(type(t) is int for t in times)


def test_spacings_are_what_they_say(schedule):
    assert sampling_times(schedule, 4) == [1000, 750, 500, 250, 0]
    assert sampling_times(schedule, 10, "quadratic") == [10 * k * k for k in range(10, -1, -1)]
    times = sampling_times(schedule, 8, "log_snr")
    gaps = schedule.snr[times[:-1]].log().diff()
    assert times[-2] == 1 and (gaps / gaps.mean() - 1).abs().max() < 0.2  # whole t are coarse near t = 1
    for spacing in ("time", "quadratic", "log_snr"):
        assert sampling_times(schedule, 1000, spacing) == list(range(1000, -1, -1))


@pytest.mark.parametrize("clip", [True, False])
def test_eta_1_with_all_steps_is_algorithm_2(clip):
    """With beta_tilde, the same noise and, under clipping, the noise computed anew from the clipped x_0."""
    schedule = NoiseSchedule(linear_betas(60))
    for model, shape in ((mixture(schedule), (50, 1)), (small_unet(), (2, 1, 8, 8))):
        ours = ddim_sample(model, schedule, shape, 60, eta=1.0, generator=seeded(), clip=clip, progress=False)
        algorithm_2 = sample(model, schedule, shape, generator=seeded(), clip=clip, progress=False)
        assert torch.allclose(ours, algorithm_2, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, 999), max_size=8), st.integers(0, 99), st.booleans())
def test_eta_1_is_algorithm_2_for_any_times(between, seed, clip):
    schedule, model = NoiseSchedule(linear_betas(1000)), their_noise
    x_T, times = torch.randn(2, 1, 4, 4, generator=seeded(100)), sorted({1000, 0} | between, reverse=True)
    ours = ddim_sample(model, schedule, x_T.shape, 1, 1.0, seeded(seed), clip, x_T, progress=False, times=times)
    generator = seeded(seed)
    algorithm_2 = last_state(
        walk(lambda x, t, s: reverse_step(model, x, t, schedule, s, generator, clip), x_T, times, progress=False)
    )
    assert torch.allclose(ours, algorithm_2, rtol=1e-4, atol=1e-4 * algorithm_2.abs().max().item())


def test_even_steps_are_the_same_in_every_sampler(schedule):
    for steps in (1, 7, 16, 50, 999):
        assert sampling_times(schedule, steps) == even_times(schedule.T, steps)


def test_eta_1_with_fewer_steps_is_algorithm_2_of_the_respaced_schedule(schedule):
    times = sampling_times(schedule, 20)
    respaced = NoiseSchedule(1 - schedule.alpha_bars[times[:-1]].flip(0) / schedule.alpha_bars[times[1:]].flip(0))
    x = ours = torch.randn(50, 1, generator=seeded())
    toy = mixture(schedule)
    for k in range(20, 0, -1):
        x = reverse_step(lambda x_t, k: toy(x_t, 50 * k), x, k, respaced, generator=seeded(k), clip=False)
        ours = ddim_step(toy, ours, 50 * k, 50 * k - 50, schedule, 1.0, seeded(k), clip=False)
    assert torch.allclose(ours, x, atol=1e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_one_gaussian_gets_the_variance_of_the_exact_recursion(schedule, eta):
    """With the exact denoiser of one Gaussian every step is linear, so the std after 15 steps is known."""
    std, V, count = 0.5, 1.0, 100_000
    times = sampling_times(schedule, 15)
    for t, s in pairwise(times):
        now, then = schedule.alpha_bars[t], schedule.alpha_bars[s]
        gain = now.sqrt() * std**2 / (now * std**2 + 1 - now)  # E[x_0 | x_t] / x_t
        added = eta**2 * (1 - then) / (1 - now) * (1 - now / then)
        kept = ((1 - then - added).clamp(min=0) / (1 - now)).sqrt()
        V = (then.sqrt() * gain + kept * (1 - now.sqrt() * gain)) ** 2 * V + added
    oracle = GaussianMixtureDenoiser([0.0], [std], [1.0], schedule)
    x_0 = ddim_sample(oracle, schedule, (count, 1), 15, eta, seeded(), clip=False, progress=False).double()
    assert abs(x_0.var() / V - 1) < 5 * (2 / count) ** 0.5


def euler(model, schedule):
    """DDIM's step without clipping."""
    return lambda x_t, t, s: ddim_step(model, x_t, t, s, schedule, clip=False)


def second_order(model, schedule):
    return fresh_dpm_solver_step(model, schedule, clip=False)


def error_at_1(make_step, steps):
    """The mean distance from the exact flow after equal steps in log-SNR, before the infinite one into t = 0."""
    alpha_bars = torch.sigmoid(torch.linspace(9, -10, steps, dtype=torch.float64))
    schedule = NoiseSchedule(1 - alpha_bars / torch.cat([torch.ones(1, dtype=torch.float64), alpha_bars[:-1]]))
    step = make_step(mixture(schedule), schedule)
    x_1 = last_state(walk(step, quantiles(schedule.alpha_bars[-1]), range(steps, 0, -1), progress=False))
    return (x_1 - quantiles(schedule.alpha_bars[1])).abs().mean().item()


@pytest.mark.parametrize("make_step, order", [(euler, 1), (second_order, 2)])
def test_order_of_convergence_in_log_snr(make_step, order):
    errors = torch.tensor([error_at_1(make_step, steps) for steps in (80, 160, 320)], dtype=torch.float64)
    assert ((errors[:-1] / errors[1:]).log2() - order).abs().max() < 0.25


@pytest.mark.parametrize("spacing, bound", [("time", 0.04), ("quadratic", 0.01), ("log_snr", 0.01)])
def test_twenty_steps_land_near_the_exact_flow(schedule, spacing, bound):
    x_T, x_0 = quantiles(schedule.alpha_bars[-1]), quantiles(schedule.alpha_bars[0])
    error = {}
    for sampler in SAMPLERS:
        ours = sampler(mixture(schedule), schedule, x_T.shape, 20, clip=False, progress=False, spacing=spacing, x_T=x_T)
        error[sampler] = (ours - x_0).abs().mean()
    assert error[dpm_solver_sample] < min(bound, error[ddim_sample])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_true_noise_leads_back_to_the_picture(schedule, garments, sampler):
    def oracle(x_t, t):
        return schedule.predict_noise(x_t, t, garments)

    for steps in (1, 2, 7):
        x_0 = sampler(oracle, schedule, garments.shape, steps, generator=seeded(), progress=False)
        assert torch.allclose(x_0, garments, atol=1e-4)


def their_noise(x, t):
    """A smooth stand-in for a network: what it says depends on x and on t."""
    return 0.9 * torch.tanh(x) + 0.1 * torch.sin(3 * x + torch.as_tensor(t).reshape(-1, 1, 1, 1) / 100)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("clip", [True, False])
def test_ddim_parity_with_diffusers(schedule, eta, clip):
    """The whole chain, 1e-4 relative; its index is our t - 1, so "trailing" 999, 979, ... are our 1000, 980, ..."""
    peer = DDIMScheduler(1000, clip_sample=clip, timestep_spacing="trailing")
    peer.set_timesteps(50)
    x = x_T = torch.randn(4, 1, 8, 8, generator=seeded())
    generator = seeded(1)
    for index in peer.timesteps.tolist():
        noise = their_noise(x, index + 1)
        x = peer.step(noise, index, x, eta=eta, use_clipped_model_output=clip, generator=generator).prev_sample
    ours = ddim_sample(their_noise, schedule, x.shape, 50, eta, seeded(1), clip, x_T, progress=False)
    assert torch.allclose(ours, x, rtol=1e-4, atol=1e-4 * x.abs().max().item())


@pytest.mark.parametrize("spacing", ["time", "quadratic", "log_snr"])
@pytest.mark.parametrize("clip", [True, False])
def test_dpm_solver_parity_with_diffusers(schedule, spacing, clip):
    """The whole chain, 1e-4 relative; diffusers is given the predicted x_0, clipped by us, since it does not clip."""
    times = sampling_times(schedule, 20, spacing)
    peer = DPMSolverMultistepScheduler(1000, prediction_type="sample", final_sigmas_type="zero")
    peer.set_timesteps(timesteps=[t - 1 for t in times[:-1]])
    x = x_T = torch.randn(4, 1, 8, 8, generator=seeded())
    for t in times[:-1]:
        x_0, _ = predict(their_noise, x, torch.full((4,), t), schedule, clip)
        x = peer.step(x_0, t - 1, x).prev_sample
    ours = dpm_solver_sample(their_noise, schedule, x.shape, 20, clip=clip, progress=False, spacing=spacing, x_T=x_T)
    assert torch.allclose(ours, x, rtol=1e-4, atol=1e-4 * x.abs().max().item())


def test_first_order_step_is_ddim_and_the_last_step_is_first_order(schedule, garments):
    x_t = schedule.add_noise(garments, 500, torch.randn(garments.shape, generator=seeded()))
    for clip in (True, False):
        first, own = dpm_solver_step(their_noise, x_t, 500, 400, schedule, clip=clip)
        assert torch.allclose(first, ddim_step(their_noise, x_t, 500, 400, schedule, clip=clip), atol=1e-4)
        assert own[0] == 500
        previous = (600, torch.zeros_like(x_t))
        last, (_, x_0) = dpm_solver_step(their_noise, x_t, 500, 0, schedule, previous, clip)
        assert torch.equal(last, x_0)
        second, _ = dpm_solver_step(their_noise, x_t, 500, 400, schedule, previous, clip)
        assert not torch.allclose(second, first, atol=1e-3)


def test_encoding_and_decoding_come_back(schedule):
    toy, x_0, x_T = mixture(schedule), quantiles(schedule.alpha_bars[0]), quantiles(schedule.alpha_bars[-1])
    errors = []
    for steps in (50, 200):
        code = ddim_encode(toy, schedule, x_0, steps, progress=False)
        back = ddim_sample(toy, schedule, x_0.shape, steps, clip=False, progress=False, x_T=code)
        errors.append(((code - x_T).abs().mean(), (back - x_0).abs().mean()))
    assert errors[1][0] < 0.3 * errors[0][0] and errors[1][0] < 0.03  # first order: four times the steps, a quarter
    assert errors[1][1] < 0.01


def test_encoder_never_asks_for_t_0(schedule, garments):
    seen = []
    ddim_encode(lambda x_t, t: seen.append(int(t[0])) or 0 * x_t, schedule, garments, 5, progress=False)
    assert seen == [200, 400, 600, 800, 1000]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_model_call_a_step_at_the_times_of_the_spacing(schedule, sampler):
    for spacing in ("time", "quadratic", "log_snr"):
        seen = []
        sampler(
            lambda x, t, s=seen: s.append(int(t[0])) or 0 * x, schedule, (2, 3), 12, progress=False, spacing=spacing
        )
        assert seen == sampling_times(schedule, 12, spacing)[:-1]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_picture_and_x_T_decides(sampler):
    model, schedule = small_unet(), NoiseSchedule(linear_betas(100))
    shape = (2, 1, 8, 8)
    one, two, other = (sampler(model, schedule, shape, 5, generator=seeded(s), progress=False) for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    x_T = torch.randn(shape, generator=seeded(1))
    assert torch.equal(one, sampler(model, schedule, shape, 5, progress=False, x_T=x_T))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_clip_keeps_the_picture_in_range(schedule, sampler):
    def wild(x_t, t):
        return -3 * x_t

    assert sampler(wild, schedule, (4, 1, 8, 8), 10, generator=seeded(), progress=False).abs().max() <= 1
    assert sampler(wild, schedule, (4, 1, 8, 8), 10, generator=seeded(), clip=False, progress=False).abs().max() > 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_autocast_leaves_the_state_in_float32(sampler):
    model, schedule = small_unet(), NoiseSchedule(linear_betas(100))
    full = sampler(model, schedule, (2, 1, 8, 8), 10, generator=seeded(), progress=False)
    with torch.autocast("cpu", torch.bfloat16):
        half = sampler(model, schedule, (2, 1, 8, 8), 10, generator=seeded(), progress=False)
        code = ddim_encode(model, schedule, half, 5, progress=False)
    assert half.dtype == code.dtype == torch.float32
    assert 0 < (half - full).abs().mean() < 0.05


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_explicit_times_are_walked(schedule, sampler):
    times = [1000, 731, 20, 3, 0]
    seen = []
    sampler(lambda x, t: seen.append(int(t[0])) or 0 * x, schedule, (2, 3), progress=False, times=times)
    assert seen == times[:-1]
    one, two = (sampler(their_noise, schedule, (2, 1, 4, 4), 8, generator=seeded(), progress=False, times=t)
                for t in (None, sampling_times(schedule, 8)))  # fmt: skip
    assert torch.equal(one, two)
    for wrong in ([1000, 500], [0], [1000, 500, 500, 0], [0, 500, 1000], [1001, 0]):
        with pytest.raises(ValueError, match="^times must"):
            sampler(their_noise, schedule, (2, 1, 4, 4), progress=False, times=wrong)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_numpys_integers_are_integers(schedule, sampler):
    one, two = (
        sampler(their_noise, schedule, (1, 1, 2, 2), n, generator=seeded(), progress=False) for n in (5, np.int64(5))
    )
    assert torch.equal(one, two)


def test_a_second_walk_does_not_remember_the_first(schedule):
    """Even with one and the same step, and after a walk that was dropped; within a walk it does remember."""
    toy, times, x_T = mixture(schedule), [1000, 600, 300, 0], quantiles(schedule.alpha_bars[-1])
    step = second_order(toy, schedule)
    first = [x for _, x in walk(step, x_T, times, progress=False)]
    dropped = walk(step, -x_T, times, progress=False)
    next(dropped), next(dropped)
    assert all(torch.equal(x, y) for x, (_, y) in zip(first, walk(step, x_T, times, progress=False), strict=True))
    of_first_order = [x for _, x in walk(euler(toy, schedule), x_T, times, progress=False)]
    assert torch.allclose(first[1], of_first_order[1]) and not torch.allclose(first[2], of_first_order[2], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampling_follows_the_models_dtype(sampler, dtype):
    model, schedule = small_unet(), NoiseSchedule(linear_betas(100))
    full = sampler(model, schedule, (2, 1, 8, 8), 5, generator=seeded(), progress=False)
    rough = sampler(copy.deepcopy(model).to(dtype), schedule, (2, 1, 8, 8), 5, generator=seeded(), progress=False)
    assert rough.dtype == dtype and (rough.float() - full).abs().mean() < 0.05


class NeverWaits(TorchDispatchMode):
    """Fail where a value is read from a tensor, or a tensor comes from the GPU to the CPU: both wait for the device."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        assert function is not torch.ops.aten._local_scalar_dense.default, "a value was read"
        result = function(*arguments, **(named or {}))
        came = [value for value in arguments if torch.is_tensor(value) and value.device.type == "cuda"]
        assert not (came and torch.is_tensor(result) and result.device.type == "cpu"), "a tensor came to the CPU"
        return result


def test_no_step_and_no_loss_waits_for_the_device(schedule):
    """On a GPU that exists in name only: shapes, dtypes and devices are followed, and no number is computed."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device("cuda"):
            model, x_t = small_unet(), torch.empty(3, 1, 8, 8)
        solver = fresh_dpm_solver_step(model, schedule)
        with NeverWaits():
            steps = [
                reverse_step(model, x_t, 500, schedule, 300),
                reverse_step(model, x_t, 500, schedule, variance="beta"),
                ddim_step(model, x_t, 500, 300, schedule, eta=0.5),
                solver(solver(x_t, 500, 300), 300, 200),
                schedule.add_noise(x_t, 500, predicted_noise(model, x_t, 500)),  # what ddim_encode does
            ]
            assert all(x_s.shape == x_t.shape and x_s.device == x_t.device for x_s in steps)
            assert noise_prediction_loss(model, x_t, schedule).device == x_t.device
            signal, _ = schedule.signal_and_noise(
                torch.empty(3, dtype=torch.int64, device="cuda"), x_t
            )  # t drawn there
            assert signal.device == x_t.device
            for wait in (lambda: x_t.sum().item(), lambda: x_t.cpu(), lambda: bool((x_t > 0).all())):
                with pytest.raises(AssertionError):  # the mode can fail
                    wait()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("who", ["oracle", "shipped"])
def test_a_seed_gives_the_pictures_it_always_gave(schedule, who, seed):
    """Stored before the samplers were rewritten: made by the commit that the file names. All T steps, on one thread."""
    garments = load_images(limit=12)[0]
    exact = GaussianMixtureDenoiser(garments.flatten(1), [0.05] * 12, [1.0] * 12, schedule)
    oracle = lambda x_t, t: exact(x_t.flatten(1), t).reshape(x_t.shape)  # noqa: E731
    model, shape = (oracle, (2, 1, 28, 28)) if who == "oracle" else (load_pretrained()[0], (1, 1, 16, 16))
    ddim_steps, solver_steps = (1000, 1000) if who == "oracle" else (50, 20)

    def run(sampler, **options):
        return sampler(model, schedule, shape, generator=seeded(seed), progress=False, **options)

    found = {
        "ancestral.beta_tilde": run(sample),
        "ddim.eta_0": run(ddim_sample, steps=ddim_steps),
        "ddim.eta_1": run(ddim_sample, steps=ddim_steps, eta=1.0),
        "dpm_solver": run(dpm_solver_sample, steps=solver_steps),
    }
    if who == "oracle":
        found["ancestral.beta"] = run(sample, variance="beta")
    else:
        found["ddim_encode"] = ddim_encode(model, schedule, garments[seed : seed + 1], 20, progress=False)
    stored = load_file(Path(__file__).with_name("reference_pictures.safetensors"))
    stored = {name: x for name, x in stored.items() if name.startswith(who) and name.endswith(str(seed))}
    assert {f"{who}.{name}.{seed}" for name in found} == set(stored)
    for name, x in found.items():
        assert torch.allclose(x, stored[f"{who}.{name}.{seed}"], atol=1e-4), name


def test_steps_take_each_image_at_its_own_time(schedule, garments):
    x_t, t, s, r = garments[:3], torch.tensor([900, 500, 20]), torch.tensor([800, 20, 0]), torch.tensor([1000, 600, 40])
    earlier = garments[3:6]
    ddim = ddim_step(their_noise, x_t, t, s, schedule)
    solver, (own_t, own_x_0) = dpm_solver_step(their_noise, x_t, t, s, schedule, (r, earlier))
    assert torch.equal(own_t, t) and own_x_0.shape == x_t.shape
    for k in range(3):
        one = slice(k, k + 1)
        assert torch.allclose(ddim[one], ddim_step(their_noise, x_t[one], int(t[k]), int(s[k]), schedule), atol=1e-5)
        alone, _ = dpm_solver_step(their_noise, x_t[one], int(t[k]), int(s[k]), schedule, (int(r[k]), earlier[one]))
        assert torch.allclose(solver[one], alone, atol=1e-5)


def test_other_schedules(garments):
    for betas in (linear_betas(50), cosine_betas(200)):
        schedule = NoiseSchedule(betas)
        x_T = torch.randn(3, 1, 28, 28, generator=seeded())
        for sampler in SAMPLERS:
            assert torch.isfinite(sampler(their_noise, schedule, x_T.shape, 25, progress=False, x_T=x_T)).all()


def test_bad_input_is_refused(schedule, garments):
    def model(x_t, t):
        return x_t

    for sampler in SAMPLERS:
        for steps in (0, -1, 1001):
            with pytest.raises(ValueError, match=r"^steps must lie in 1\.\.1000"):
                sampler(model, schedule, (1, 2), steps, progress=False)
        for steps in (2.0, True, "10"):
            with pytest.raises(TypeError, match="^steps must be an integer"):
                sampler(model, schedule, (1, 2), steps, progress=False)
        with pytest.raises(ValueError, match="^spacing must be 'time', 'quadratic' or 'log_snr'"):
            sampler(model, schedule, (1, 2), 5, progress=False, spacing="karras")
        for shape in ((0, 1, 8, 8), (4,), (2, -1)):
            with pytest.raises(ValueError, match="^shape must"):
                sampler(model, schedule, shape, 5, progress=False)
        with pytest.raises(ValueError, match=r"^x_T must have the shape \(1, 2\), got \(1, 3\)"):
            sampler(model, schedule, (1, 2), 5, progress=False, x_T=torch.zeros(1, 3))
        with pytest.raises(TypeError, match="^x_T must be a float tensor"):
            sampler(model, schedule, (1, 2), 5, progress=False, x_T=torch.zeros(1, 2, dtype=torch.int64))
    for eta in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"^eta must lie in \[0, 1\]"):
            ddim_sample(model, schedule, (1, 2), 5, eta, progress=False)
    for step in (ddim_step, dpm_solver_step):
        for t in (0, 1001):
            with pytest.raises(ValueError, match=r"^t must lie in 1\.\.1000"):
                step(model, garments, t, 0, schedule)
        for t, s in ((500, 500), (500, 600)):
            with pytest.raises(ValueError, match="^s must be smaller than t"):
                step(model, garments, t, s, schedule)
        with pytest.raises(ValueError, match=r"^s must lie in 0\.\.1000"):
            step(model, garments, 500, -1, schedule)
        with pytest.raises(TypeError, match="^s must be an int"):
            step(model, garments, 500, 0.5, schedule)
        with pytest.raises(TypeError, match="^x_t must be a float tensor"):
            step(model, garments.to(torch.uint8), 500, 400, schedule)
    with pytest.raises(TypeError, match="^x_0 must be a float tensor"):
        ddim_encode(model, schedule, garments.to(torch.uint8), 5, progress=False)
    with pytest.raises(ValueError, match="^steps must"):
        ddim_encode(model, schedule, garments, 0, progress=False)
