"""Train the classifiers whose features the rulers of notebook 09 use, and write them to `data/`.

    python -m benchmarks.artefacts.train_classifier
    python -m benchmarks.artefacts.train_classifier --network ResidualClassifier --seed 1 --out data/fashion-mnist-second-classifier.safetensors

They learn from the first 50,000 training pictures. The other 10,000 and the test pictures stay unseen: they are what the
rulers call real. No flips and no shifts: a network that has learnt to ignore a change cannot measure it.
"""

import argparse
import platform
import time

import torch
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks.speed.measure import command
from ddpm_lib.checkpoint import write_safetensors
from ddpm_lib.data import data_folder, load_images
from ddpm_lib.evaluation import CLASSIFIER_TRAINING, CLASSIFIERS


def accuracy(classifier, images, labels):
    """The share of images whose highest score is their label's."""
    classifier.eval()
    with torch.no_grad():
        scores = torch.cat([classifier(batch) for batch in images.split(500)])
    return (scores.argmax(1) == labels).double().mean().item()


def train_classifier(network, images, labels, epochs, batch_size, learning_rate, seed):
    """AdamW with one cycle of the learning rate; returns the classifier in evaluation mode."""
    torch.manual_seed(seed)
    classifier = CLASSIFIERS[network]()
    optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05)
    steps = epochs * (len(images) // batch_size)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    with tqdm(total=steps) as bar:
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(batch_size)[: len(images) // batch_size]:
                classifier.train()
                loss = F.cross_entropy(classifier(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                rate.step()
                bar.update()
    return classifier.eval()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=CLASSIFIERS, default="Classifier")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default=data_folder() / "fashion-mnist-classifier.safetensors")
    options = parser.parse_args()
    (images, labels), test = load_images(), load_images(split="test")
    start = time.perf_counter()
    classifier = train_classifier(
        options.network,
        images[:CLASSIFIER_TRAINING],
        labels[:CLASSIFIER_TRAINING],
        options.epochs,
        options.batch_size,
        options.learning_rate,
        options.seed,
    )
    notes = {
        "command": command(),
        "network": options.network,
        "seconds": f"{time.perf_counter() - start:.0f}",
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "accuracy on the 50,000 it learnt from": f"{accuracy(classifier, images[:50_000], labels[:50_000]):.4f}",
        "accuracy on the 10,000 unseen training pictures": f"{accuracy(classifier, images[50_000:], labels[50_000:]):.4f}",
        "accuracy on the 10,000 test pictures": f"{accuracy(classifier, *test):.4f}",
    }
    write_safetensors(options.out, classifier.state_dict(), {"kind": "classifier"} | notes)
    print("\n".join(f"{name}: {value}" for name, value in notes.items()))
