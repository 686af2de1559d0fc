"""Which part of the chain does the damage when the network was trained too briefly: what notebook 06 cites.

    python -m benchmarks.06_reverse_sampling            # 500 pictures a row, three seeds; five minutes of one core, twenty where it has no bfloat16

Algorithm 2 in 25 even steps. In each row a network of notebook 05's short training answers in one part of the chain and the shipped model in
the rest. Each seed trains a brief network of its own and draws noise of its own; within a seed all rows have the same brief
network, the same x_T and the same noise in every step, so they can be compared in pairs. Written are both rulers' distances of every row, and
the loss of both networks in every part on the same noised test pictures; and the first pictures of seed 0, as bytes, into the
`.safetensors` beside it.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.quality import distances
from benchmarks.speed.measure import checkpoint_digest, command, made_on, write_json
from course.lessons import RESULTS
from ddpm_lib.checkpoint import load_pretrained, write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.loss import noise_prediction_loss
from ddpm_lib.sampling import Batched, even_times, last_state, reverse_step, walk
from ddpm_lib.training import best_precision, mixed_precision
from ddpm_lib.unet import UNet

STEPS, SEEDS = 25, (0, 1, 2)
# from where to where the chain goes
PARTS = {"above 600": (1000, 600), "200 to 600": (600, 200), "up to 200": (200, 0)}
# where the brief network answers, and so who answers in each of the three parts
ROWS = {
    "nowhere": ("shipped", "shipped", "shipped"),
    "above 600": ("brief", "shipped", "shipped"),
    "200 to 600": ("shipped", "brief", "shipped"),
    "up to 200": ("shipped", "shipped", "brief"),
    "up to 600": ("shipped", "brief", "brief"),
    "everywhere": ("brief", "brief", "brief"),
}


def times_of(part, schedule):
    """The times of a part, both ends included: the network is asked at all but the last."""
    high, low = PARTS[part]
    return [t for t in even_times(schedule.T, STEPS) if low <= t <= high]


def train_briefly(schedule, seed, steps=200):
    """Notebook 05's first training: a UNet of width 16, 4000 pictures, batches of 32."""
    torch.manual_seed(4 * seed)
    network, generator = UNet(base_channels=16), torch.Generator().manual_seed(4 * seed + 1)
    images, optimizer = load_images(limit=4000)[0], torch.optim.Adam(network.parameters(), lr=2e-3)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (32,), generator=generator)]
        loss = noise_prediction_loss(network, batch, schedule, generator=generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def walked(networks, answers, schedule, shape, seed, done):
    """Where the chain is, and its generator's state, after the parts in which `answers` names who answers.

    `done` keeps both, so that what two rows have in common is walked once. All rows see the same x_T and the same noise.
    """
    if answers not in done:
        if not answers:
            generator = torch.Generator().manual_seed(seed)
            done[answers] = torch.randn(shape, generator=generator), generator.get_state()
            return done[answers]
        x_t, state = walked(networks, answers[:-1], schedule, shape, seed, done)
        generator, model = torch.Generator(), Batched(networks[answers[-1]], 100)
        generator.set_state(state)

        def step(x_t, t, s):
            return reverse_step(model, x_t, t, schedule, s, generator)

        times = times_of(list(PARTS)[len(answers) - 1], schedule)
        done[answers] = last_state(walk(step, x_t, times, progress=False)), generator.get_state()
    return done[answers]


@torch.no_grad()
def losses(networks, schedule, seed, n=100):
    """For each part and network the mean loss over the times at which the chain asks, on `n` test pictures with the same noise."""
    images, generator, found = load_images(split="test", limit=n)[0], torch.Generator().manual_seed(4 * seed + 3), {}
    for part in PARTS:
        times = times_of(part, schedule)[:-1]
        noises = torch.randn(len(times), *images.shape, generator=generator)
        found[part] = {}
        for name, network in networks.items():
            each = [
                noise_prediction_loss(network, images, schedule, torch.full((n,), t), noise)
                for t, noise in zip(times, noises, strict=True)
            ]
            found[part][name] = round(float(torch.stack(each).mean()), 5)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=500, help="pictures a row")
    parser.add_argument("--training-steps", type=int, default=200, help="of the brief network")
    parser.add_argument("--out", type=Path, default=RESULTS / "06_reverse_sampling.json")
    options = parser.parse_args()
    shipped, schedule = load_pretrained()
    records, found, kept, start = [], [], {}, time.process_time()
    precision = best_precision("cpu")
    for seed in SEEDS:
        brief = train_briefly(schedule, seed, options.training_steps)
        with mixed_precision(shipped, precision), torch.no_grad():
            networks, done = {"brief": brief, "shipped": shipped}, {}
            found.append({"seed": seed} | losses(networks, schedule, seed))
            for row, answers in ROWS.items():
                pictures, _ = walked(networks, answers, schedule, (options.n, 1, 28, 28), 4 * seed + 2, done)
                records.append({"brief network": row, "seed": seed} | distances(pictures))
                print(records[-1], flush=True)
                if seed == 0:
                    kept[row] = ((pictures[:8].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    about = {
        "command": command(),
        "machine": made_on(),
        "checkpoint": checkpoint_digest(data_folder() / "fashion-mnist.safetensors"),
    }
    about |= {
        "core_seconds": round(time.process_time() - start),
        "computed_in": precision,
        "sampler": "Algorithm 2, beta_tilde, clipped",
        "evaluations": STEPS,
    }
    about |= {"training_steps": options.training_steps, "losses": found, "records": records}
    write_json(options.out, about)
    notes = {
        "kind": "samples",
        "command": command(),
        "checkpoint": about["checkpoint"],
        "seed": "0",
        "machine": json.dumps(about["machine"]),
        "torch": torch.__version__,
    }
    write_safetensors(options.out.with_suffix(".safetensors"), kept, notes)


if __name__ == "__main__":
    main()
