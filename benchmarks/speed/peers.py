"""Who is measured beside whom: our library, and each peer with the network, loss and optimiser that its documentation shows.

A peer draws its batches from the same images in memory. The peers' data loaders, image augmentation and progress bars are
left out, so what is timed is the step itself.
"""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ddpm_lib.sampling import reverse_step
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, train_step
from ddpm_lib.unet import UNet


@dataclass
class Peer:
    """One library's own way.

    `step()` is one training step, `draw()` one step of its sampler on a batch (one network evaluation), `look()` one forward pass of one
    image. `sample(count, steps, eta)` draws that many pictures in [-1, 1] by its own sampler, without fresh noise (eta 0) or with all of it (1),
    with the weights of `drawn_with`: the average, where it keeps one.
    """

    network: str
    parameters: int
    step: Callable
    draw: Callable
    look: Callable
    sample: Callable = None
    drawn_with: torch.nn.Module = None


def precise(precision, device="cpu"):
    """The autocast context of "float32" or "bfloat16"."""
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def batches(images, count, seed=0):
    """A function that returns a random batch of `images`."""
    generator = torch.Generator().manual_seed(seed)
    return lambda: images[torch.randint(len(images), (count,), generator=generator)]


def plain_step(optimizer, batch, loss_of, precision, clip=None, after=lambda: None):
    """The loop of every tutorial, as a function that takes one step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def step():
        x_0 = batch()
        with precise(precision, x_0.device.type):
            loss = loss_of(x_0)
        optimizer.zero_grad()
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        after()
        return loss.item()

    return step


def drawing(model, x, precision, advance):
    """A function that takes one step of a sampler, `advance(x)` -> next x, in evaluation mode."""
    place = {"x": x}

    def draw():
        model.eval()
        with torch.no_grad(), precise(precision):
            place["x"] = advance(place["x"]).detach().float()

    return draw


def ours(images, count, precision):
    """The default UNet, `train_step` and `reverse_step`."""
    model, schedule = UNet(image_channels=images.shape[1]), NoiseSchedule(linear_betas(1000))
    state = TrainingState(model, schedule, steps=10**6, batch_size=count, precision=precision)
    sampler = copy.deepcopy(model).eval()
    return Peer(
        "UNet, base 32 (1, 2, 3)",
        size(model),
        lambda: train_step(state, images),
        drawing(
            sampler, torch.randn(count, *images.shape[1:]), precision, lambda x: reverse_step(sampler, x, 500, schedule)
        ),
        lambda: model(images[:1], 500),
    )


def diffusers_unet(images, widths, blocks, groups, attention):
    """A `UNet2DModel`; `attention` says for each level, from the highest resolution to the lowest, whether it attends."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=images.shape[-1],
        in_channels=images.shape[1],
        out_channels=images.shape[1],
        layers_per_block=blocks,
        block_out_channels=widths,
        norm_num_groups=groups,
        down_block_types=tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attention),
        up_block_types=tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attention)),
    )


def equal_unet(images):
    """diffusers' parts put together as our default UNet is: the same layers, parameters and FLOP."""
    return diffusers_unet(images, (32, 64, 96), 1, 8, (False, False, True))


def diffusers(images, count, precision, network="(32, 64, 64), two blocks a level"):
    """The loop of the Hugging Face course (AdamW, mean squared error), and `DDPMScheduler.step`."""
    from diffusers import DDIMScheduler, DDPMScheduler

    if network == "as ours":
        model = equal_unet(images)
    else:
        model = diffusers_unet(images, (32, 64, 64), 2, 32, (False, True, True))
    scheduler = DDPMScheduler(num_train_timesteps=1000)

    def loss_of(x_0):
        noise, t = torch.randn_like(x_0), torch.randint(0, 1000, (len(x_0),))
        return F.mse_loss(model(scheduler.add_noise(x_0, noise, t), t).sample, noise)

    @torch.no_grad()
    def sample(count, steps, eta):
        solver, x = DDIMScheduler(num_train_timesteps=1000), torch.randn(count, *images.shape[1:])
        solver.set_timesteps(steps)
        for t in solver.timesteps:
            with precise(precision):
                noise = model.eval()(x, t).sample.float()
            x = solver.step(noise, t, x, eta=eta).prev_sample
        return x

    sampler = copy.deepcopy(model)
    return Peer(
        f"UNet2DModel, {network}",
        size(model),
        plain_step(torch.optim.AdamW(model.parameters(), lr=4e-4), batches(images, count), loss_of, precision),
        drawing(
            sampler,
            torch.randn(count, *images.shape[1:]),
            precision,
            lambda x: scheduler.step(sampler(x, 500).sample, 500, x).prev_sample,
        ),
        lambda: model(images[:1], 500),
        sample,
        model,
    )


def diffusers_equal(images, count, precision):
    return diffusers(images, count, precision, "as ours")


def lucidrains(images, count, precision):
    """`Unet` and `GaussianDiffusion` of denoising-diffusion-pytorch with the optimiser, clipping and average of its `Trainer`."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    network = Unet(dim=32, dim_mults=(1, 2, 4), channels=images.shape[1], flash_attn=True)
    model = GaussianDiffusion(network, image_size=images.shape[-1], timesteps=1000)
    average = EMA(model, beta=0.995, update_every=10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))
    sampler = copy.deepcopy(model)

    @torch.no_grad()
    def sample(count, steps, eta):
        averaged = average.ema_model.eval()
        averaged.sampling_timesteps, averaged.ddim_sampling_eta = steps, eta
        with precise(precision):
            return averaged.ddim_sample((count, *images.shape[1:])).float() * 2 - 1

    return Peer(
        "Unet, dim 32 (1, 2, 4)",
        size(network),
        plain_step(optimizer, batches((images + 1) / 2, count), model, precision, clip=1.0, after=average.update),
        drawing(
            sampler, torch.randn(count, *images.shape[1:]), precision, lambda x: sampler.p_sample(x, 500)[0].clone()
        ),
        lambda: network(images[:1], torch.tensor([500])),
        sample,
        average,
    )


def smalldiffusion(images, count, precision, averaged=False):
    """The settings of smalldiffusion's Fashion-MNIST UNet example: AdamW, a log-linear schedule, its own loss and sampler."""
    import smalldiffusion as library

    side, channels = images.shape[-1], images.shape[1]
    model = library.Scaled(library.Unet)(side, channels, channels, ch=64, ch_mult=(1, 1, 2), attn_resolutions=(14,))
    schedule = library.ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)

    def loss_of(x_0):
        x_0, sigma, noise, _ = library.generate_train_sample(x_0, schedule)
        return model.get_loss(x_0, sigma, noise)

    average = copy.deepcopy(model).eval()  # the example's, of torch_ema: decay 0.999, and less at the start
    updates = itertools.count(1)

    @torch.no_grad()
    def keep_average():
        k = next(updates)
        for kept, weights in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(weights, 1 - min(0.999, (1 + k) / (10 + k)))

    @torch.no_grad()
    def sample(count, steps, eta):
        with precise(precision):
            *_, x_0 = library.samples(average, schedule.sample_sigmas(steps), gam=1, mu=0.5 * eta, batchsize=count)
        return x_0.float()

    sampler = copy.deepcopy(model)
    sigmas = schedule.sample_sigmas(800)[400:402]

    def advance(x):
        return next(library.samples(sampler, sigmas, gam=1, mu=0.5, batchsize=count, xt=x))

    return Peer(
        "Unet, ch 64 (1, 1, 2)",
        size(model),
        plain_step(
            torch.optim.AdamW(model.parameters(), lr=7e-4),
            batches(images, count),
            loss_of,
            precision,
            after=keep_average if averaged else lambda: None,
        ),
        drawing(sampler, torch.randn(count, channels, side, side), precision, advance),
        lambda: model(images[:1], schedule[400]),
        sample,
        average,
    )


OURS = "ddpm_lib"
PEERS = {
    "diffusers": diffusers,
    "diffusers-as-ours": diffusers_equal,
    "denoising-diffusion-pytorch": lucidrains,
    "smalldiffusion": smalldiffusion,
}


def peers(images, count, precisions, peers):
    """`(name, precision) -> Peer`, ours first, and peer -> why it is not there."""
    found, missing = {}, {}
    for name, build in {OURS: ours, **{peer: PEERS[peer] for peer in peers}}.items():
        for precision in precisions:
            torch.manual_seed(0)
            try:
                found[name, precision] = build(images, count, precision)
            except ImportError as error:
                missing[name] = f"not installed ({error})"
                break
    return found, missing
