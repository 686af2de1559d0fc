"""A network with classes, dropped labels, guidance: against exact classes on a line, and through the training loop and the command line."""

import copy

import pytest
import torch
from conftest import seeded

from ddpm_lib import cli
from ddpm_lib.checkpoint import load_checkpoint, load_pretrained, save_checkpoint
from ddpm_lib.fast_sampling import ddim_sample
from ddpm_lib.guidance import ClassUNet, Guided, drop_labels
from ddpm_lib.loss import GaussianMixtureDenoiser
from ddpm_lib.sampling import Batched
from ddpm_lib.schedule import NoiseSchedule, linear_betas
from ddpm_lib.training import TrainingState, draw_batch, resume, save_training_state, train
from ddpm_lib.unet import UNet

MEANS, STDS = torch.tensor([-0.5, 0.5], dtype=torch.float64), torch.tensor([0.2, 0.3], dtype=torch.float64)


def small(classes=4, seed=0):
    """A small network in which labels matter: no weight of it is zero, as those of a new one are."""
    torch.manual_seed(seed)
    model = ClassUNet(classes, base_channels=8, channel_multipliers=(1, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return model.eval()


class TwoClasses:
    """The exact noise of two Gaussian classes on a line, with a label and without."""

    def __init__(self, schedule):
        self.untold = GaussianMixtureDenoiser(MEANS, STDS, torch.ones(2), schedule)
        self.told = [GaussianMixtureDenoiser(MEANS[k : k + 1], STDS[k : k + 1], torch.ones(1), schedule) for k in (0, 1)]

    def __call__(self, x_t, t, labels=None):
        if labels is None:
            return self.untold(x_t, t)
        answers = torch.stack([self.untold(x_t, t), *(one(x_t, t) for one in self.told)])
        return answers[labels + 1, torch.arange(len(labels))]


def test_a_network_that_is_told_nothing_begins_as_the_one_without():
    """The row of "no class" starts at zero: with a UNet's weights a ClassUNet that is told nothing answers as it does."""
    torch.manual_seed(0)
    plain = UNet(base_channels=8, channel_multipliers=(1, 2))
    model = ClassUNet(4, base_channels=8, channel_multipliers=(1, 2))
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert missing == ["class_embedding.weight"] and not unexpected
    x_t, t = torch.randn(3, 1, 8, 8), torch.tensor([1, 500, 1000])
    assert torch.equal(model(x_t, t), plain(x_t, t)) and (model.class_embedding.weight[:-1].norm(dim=1) > 1).all()


def test_labels_change_the_answer_picture_by_picture():
    model, x_t = small(), torch.randn(1, 1, 8, 8).expand(5, -1, -1, -1)
    answers = model(x_t, 300, torch.tensor([0, 1, 2, 3, -1]))
    assert len({tuple(answer.flatten().tolist()) for answer in answers}) == 5
    assert torch.allclose(answers[4:], model(x_t[:1], 300), atol=1e-5), "-1 and None are both no class"


@pytest.mark.parametrize("labels", [3, torch.tensor([1.0, 2.0]), torch.tensor([1]), torch.tensor([[1], [2]])], ids=str)
def test_the_network_refuses_labels_of_another_kind(labels):
    with pytest.raises(ValueError, match="^labels must be None or integers of shape"):
        small()(torch.randn(2, 1, 8, 8), 5, labels)


def test_labels_are_dropped_one_by_one_at_the_asked_rate():
    labels = torch.arange(20_000) % 10
    dropped = drop_labels(labels, 0.1, seeded(0))
    gone = dropped == -1
    assert torch.equal(dropped[~gone], labels[~gone]) and labels.min() == 0
    assert abs(gone.double().mean() - 0.1) < 5 * (0.09 / 20_000) ** 0.5
    neighbours = torch.corrcoef(torch.stack([gone[1:], gone[:-1]]).double())[0, 1]
    assert abs(neighbours) < 5 / 20_000**0.5, "whether one is dropped says nothing of the next"
    assert torch.equal(dropped, drop_labels(labels, 0.1, seeded(0)))


@pytest.mark.parametrize("bad", [({"probability": 1.5}, "probability"), ({"labels": torch.tensor([0.5, 2.0])}, "labels"), ({"labels": [1, 2]}, "labels")], ids=str)
def test_drop_labels_names_what_is_wrong(bad):
    change, name = bad
    with pytest.raises(ValueError, match=f"^{name}"):
        drop_labels(**{"labels": torch.tensor([1, 2]), "probability": 0.1} | change)


@pytest.mark.parametrize("t", [20, 400, 900])
@pytest.mark.parametrize("scale", [-1.0, 0.0, 1.0, 3.0])
def test_guidance_is_the_score_of_the_powered_density_at_each_t(schedule, t, scale):
    """Against autograd of log p(x_t) + scale log p(c | x_t)."""
    x = torch.linspace(-2, 2, 21, dtype=torch.float64, requires_grad=True)
    signal, spread = schedule.alpha_bars[t].sqrt(), (1 - schedule.alpha_bars[t]).sqrt()
    each = torch.distributions.Normal(signal * MEANS, (signal**2 * STDS**2 + spread**2).sqrt()).log_prob(x[:, None])
    every = torch.logsumexp(each, 1)
    (slope,) = torch.autograd.grad((every + scale * (each[:, 0] - every)).sum(), x)
    assert torch.allclose(Guided(TwoClasses(schedule), 0, scale)(x.detach()[:, None], torch.full((21,), t))[:, 0], -spread * slope, atol=1e-9)


def test_at_scale_1_the_samples_are_the_class_and_beyond_they_are_not_the_powered_density(schedule):
    noise = torch.special.ndtri((torch.arange(400, dtype=torch.float64) + 0.5) / 400)[:, None]

    def ends(scale):
        return ddim_sample(Guided(TwoClasses(schedule), 0, scale), schedule, (400, 1), 200, clip=False, x_T=noise, progress=False)

    line = torch.linspace(-3, 3, 6001, dtype=torch.float64)
    each = torch.distributions.Normal(MEANS, STDS).log_prob(line[:, None])
    every = torch.logsumexp(each, 1)
    powered = (every + 4 * (each[:, 0] - every)).exp()
    powered = powered / torch.trapezoid(powered, line)
    mean = torch.trapezoid(powered * line, line)
    std = torch.trapezoid(powered * (line - mean) ** 2, line).sqrt()
    assert abs(ends(1.0).mean() + 0.5) < 0.01 and abs(ends(1.0).std() / 0.2 - 1) < 0.05
    assert ends(4.0).mean() < mean - 0.02 and ends(4.0).std() < 0.95 * std


def test_guidance_asks_twice_or_as_often_as_it_must():
    calls = []

    def model(x_t, t, labels):
        calls.append(labels.tolist())
        return x_t

    for scale, expected in ((1, [[2, 2]]), (3, [[2, 2], [-1, -1]])):
        calls.clear()
        Guided(model, 2, scale)(torch.randn(2, 1), torch.tensor([5, 5]))
        assert calls == expected


def test_guided_and_batched_together_give_the_same_pictures():
    model, labels, x_t = small(), torch.tensor([0, 1, 2, 3, 0, -1]), torch.randn(6, 1, 8, 8)
    whole = Guided(model, labels, 3)(x_t, torch.full((6,), 100))
    assert torch.allclose(Guided(Batched(model, 4), labels, 3)(x_t, torch.full((6,), 100)), whole, atol=1e-5)
    with pytest.raises(ValueError, match="labels must be one class or one for each of the 4 pictures, got 6; Batched goes inside"):
        Batched(Guided(model, labels, 3), 4)(x_t, torch.full((6,), 100))


def test_a_guided_model_moves_with_its_model(schedule):
    guided = Guided(small().double(), torch.tensor([0, 1]), 2.0)
    pictures = ddim_sample(guided, schedule, (2, 1, 8, 8), 3, generator=seeded(0), progress=False)
    assert pictures.dtype == torch.float64
    on_meta = copy.deepcopy(guided).to("meta")
    assert on_meta.labels.device.type == "meta" and on_meta(torch.empty(2, 1, 8, 8, device="meta", dtype=torch.float64), 5 * torch.ones(2, device="meta")).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("label", [4, -2, torch.tensor([0, 7]), 1.0, True, torch.tensor([[1]]), torch.tensor([0.5])], ids=str)
def test_guided_refuses_labels_that_the_network_does_not_know(label):
    for model in (small(), Batched(small(), 10), torch.compile(small(), backend="eager")):
        with pytest.raises(ValueError, match="^labels must"):
            Guided(model, label, 2)


def test_guided_refuses_a_network_that_knows_no_classes():
    plain = UNet(base_channels=8, channel_multipliers=(1, 2))
    for model in (plain, Batched(plain, 10)):
        with pytest.raises(ValueError, match="^model must be one that can be told a class, as a ClassUNet, got a UNet"):
            Guided(model, 1, 2)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "3", None, True], ids=str)
def test_guided_refuses_a_scale_that_is_no_number(scale):
    with pytest.raises(ValueError, match="^scale must be a finite number"):
        Guided(small(), 1, scale)


def told_in_training(labels, probability=0.3):
    return lambda indices, generator: drop_labels(labels[indices], probability, generator)


def new_state(**settings):
    return TrainingState(small(), NoiseSchedule(linear_betas(1000)), 4, **{"batch_size": 8} | settings)


def test_training_carries_labels_and_resumes_to_the_bit(tmp_path, garments):
    pictures, labels = torch.nn.functional.avg_pool2d(garments, 2), torch.arange(len(garments)) % 4
    pictures = torch.nn.functional.pad(pictures, (1, 1, 1, 1), value=-1)
    straight, halved = new_state(), new_state()
    train(straight, pictures, progress=False, labels=told_in_training(labels))

    def stop(state):
        if state.step == 2:
            save_training_state(tmp_path / "run.safetensors", state)

    train(halved, pictures, progress=False, labels=told_in_training(labels), after_step=stop)
    resumed = train(resume(tmp_path / "run.safetensors"), pictures, progress=False, labels=told_in_training(labels))
    assert straight.losses == resumed.losses and isinstance(resumed.model, ClassUNet)
    assert torch.equal(straight.ema.model.class_embedding.weight, resumed.ema.model.class_embedding.weight)
    unlabelled = train(new_state(), pictures, progress=False)
    assert unlabelled.losses != straight.losses, "what the network is told matters"


def test_what_the_network_is_told_belongs_to_the_pictures_of_the_batch(garments):
    """And does not change which pictures, times and noise a step draws."""
    labels = torch.arange(len(garments))
    plain, labelled = draw_batch(new_state(), garments), draw_batch(new_state(), garments, lambda indices, generator: labels[indices])
    assert all(map(torch.equal, plain[:3], labelled[:3])) and plain[3] is None
    assert torch.equal(garments[labelled[3]], labelled[0])


def test_training_refuses_labels_before_it_begins(garments):
    for labels in (torch.full((len(garments),), 4), torch.full((len(garments),), -2)):
        state = new_state()
        with pytest.raises(ValueError, match="^labels must lie in 0..3, or be -1 for no class"):
            train(state, garments, progress=False, labels=lambda indices, generator, labels=labels: labels[indices])
        assert state.step == 0
    plain = TrainingState(UNet(base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(linear_betas(1000)), 4)
    with pytest.raises(ValueError, match="can't be told a class"):
        train(plain, garments, progress=False, labels=lambda indices, generator: torch.zeros(len(indices), dtype=torch.long))


def test_a_checkpoint_keeps_classes_and_their_names(tmp_path, schedule):
    model = small()
    model.class_names = ["a", "b", "c", "d"]
    save_checkpoint(tmp_path / "model.safetensors", model, schedule)
    loaded, _ = load_checkpoint(tmp_path / "model.safetensors")
    x_t, labels = torch.randn(2, 1, 8, 8), torch.tensor([1, -1])
    assert isinstance(loaded, ClassUNet) and loaded.class_names == ["a", "b", "c", "d"]
    assert torch.equal(loaded(x_t, 7, labels), model(x_t, 7, labels))


def test_the_command_line_trains_with_classes_and_draws_one(tmp_path, garments, capsys):
    from torchvision.utils import save_image

    for k, name in enumerate(("boots", "bags")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for j, picture in enumerate(garments[4 * k : 4 * k + 4]):
            save_image((picture + 1) / 2, tmp_path / "mine" / name / f"{j}.png")
    run, out = tmp_path / "run", tmp_path / "drawn.png"
    cli.main(["train", "--classes", "--data", str(tmp_path / "mine"), "--image-size", "8", "--batch-size", "2", "--images", "4", "--out", str(run), "--device", "cpu"])
    words = ["sample", "--checkpoint", str(run / "model.safetensors"), "-n", "2", "--steps", "2", "--device", "cpu", "--out", str(out)]
    for label in ("boots", "Boo", "1"):
        cli.main([*words, "--label", label, "--scale", "2"])
        assert out.exists()
    capsys.readouterr()
    with pytest.raises(SystemExit, match="^scale must be a finite number, got nan"):
        cli.main([*words, "--label", "boots", "--scale", "nan"])
    with pytest.raises(SystemExit):
        cli.main([*words, "--scale", "3"])
    assert "--label names none" in capsys.readouterr().err
    for label in ("b", "shoes", "2", "-1"):
        with pytest.raises(SystemExit, match="^--label must name one of the classes, got .*known are 0 bags, 1 boots"):
            cli.main([*words, f"--label={label}"])


def test_the_shipped_network_draws_what_it_is_asked_for():
    """Of sixteen pictures of trousers, bags, boots and dresses each, the second ruler's classifier recognises nearly all."""
    from ddpm_lib.evaluation import second_classifier

    model, schedule = load_pretrained("fashion-mnist-classes")
    labels = torch.tensor([1, 8, 9, 3]).repeat(4)
    pictures = ddim_sample(Guided(model, labels, 2), schedule, (16, 1, 28, 28), 10, generator=seeded(0), progress=False)
    assert (second_classifier()(pictures).argmax(1) == labels).sum() >= 14
