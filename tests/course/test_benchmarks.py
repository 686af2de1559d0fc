"""The measuring scripts run from end to end in tiny settings, without the peers, and every committed result says where it is from."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib

import pytest
import torch
from conftest import ROOT
from packaging.requirements import Requirement
from safetensors import safe_open

from course.lessons import checks_of

BENCHMARKS = ROOT / "benchmarks"
SECTIONS = ["peak", "training", "sampling", "scaling", "memory"]


def start(script, *arguments):
    command = [sys.executable, "-m", f"benchmarks.{script}", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a script in this process, which saves importing torch anew; returns what it printed."""
    threads = torch.get_num_threads()

    def run(script, *arguments):
        path = BENCHMARKS / (script.replace(".", "/") + ".py")
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        importlib.import_module(f"benchmarks.{script}").main()
        return capsys.readouterr().out

    yield run
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One smoke run of everything but the peers, with what it wrote."""
    folder = tmp_path_factory.mktemp("bench")
    process = start("speed.race", "--quick", "--peers", "--threads", 1, "--out", folder)
    printed, error = process.communicate(timeout=180)
    assert process.returncode == 0, error
    return folder, json.loads((folder / "speed.json").read_text()), printed


def test_speed_measures_every_section_and_says_where(quick):
    folder, results, printed = quick
    assert results["command"].startswith("python -m benchmarks.speed.race --quick")
    assert torch.__version__.startswith(results["versions"]["torch"].split("+")[0])
    assert results["machine"]["processor"] and results["machine"]["threads"] == 1
    assert list(results["sections"]) == SECTIONS and all(s["finished"] for s in results["sections"].values())
    assert (folder / "speed.md").read_text().strip() in printed and results["machine"]["processor"] in printed
    assert (folder / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_rates_flop_and_slopes_are_what_they_say(quick):
    _, results, _ = quick
    sections = results["sections"]
    rows = sections["training"]["rows"]
    assert {row["name"] for row in rows} == {"ddpm_lib"} and "float32" in {row["precision"] for row in rows}
    for row in rows:
        speed = row["images_per_second"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"] and len(speed["rounds"]) == 2
        assert 2.5 < row["flop"] / row["forward_flop"] < 3.1, "a step costs a forward pass and about two more"
    assert sections["sampling"]["rows"][0]["flop"] == sections["sampling"]["rows"][0]["forward_flop"]
    axes = sections["scaling"]["axes"]
    for axis in ("image size", "batch", "T, training", "T, sampling"):
        assert axes[axis]["slope"]["counted_flop"] == pytest.approx(axes[axis]["slope"]["theory"], abs=0.05), axis
    held = sections["memory"]["rows"]
    one = held[0]["result_bytes"]
    assert all(row["result_bytes"] == row["frames"] * one for row in held[1:])


def test_sections_can_be_measured_one_by_one_and_drawn_again(quick, run):
    folder, results, _ = quick
    before = (folder / "speed.md").read_text()
    (folder / "speed.md").unlink()
    run("speed.race", "--sections", "--out", folder)
    assert (folder / "speed.md").read_text() == before, "the report is made from speed.json alone"
    run("speed.race", "--quick", "--sections", "peak", "--peers", "--threads", 1, "--out", folder)
    after = json.loads((folder / "speed.json").read_text())["sections"]
    assert after["training"] == results["sections"]["training"] and "--sections peak" in after["peak"]["command"]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_ctrl_c_keeps_what_was_measured(tmp_path):
    process = start(
        "speed.race", "--quick", "--rounds", 10_000, "--sections", "peak", "--threads", 1, "--out", tmp_path
    )
    deadline = time.time() + 60
    while not (tmp_path / "speed.json").exists():
        assert time.time() < deadline and process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "stopped" in error and "Traceback" not in error
    results = json.loads((tmp_path / "speed.json").read_text())
    assert results["sections"]["peak"]["finished"] is False
    assert "Stopped before its end" in (tmp_path / "speed.md").read_text()


def test_a_peer_that_is_not_installed_is_left_out_by_name(monkeypatch, garments):
    from benchmarks.speed.peers import PEERS, peers

    for module in ("diffusers", "denoising_diffusion_pytorch", "smalldiffusion"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    found, missing = peers(garments, 2, ["float32"], PEERS)
    assert list(found) == [("ddpm_lib", "float32")]
    assert set(missing) == set(PEERS) and all("not installed" in why for why in missing.values())


def test_the_equal_network_of_diffusers_is_equal(garments):
    from benchmarks.speed.measure import count_flop
    from benchmarks.speed.peers import diffusers_equal, ours

    a, b = ours(garments, 2, "float32"), diffusers_equal(garments, 2, "float32")
    assert a.parameters == b.parameters and count_flop(a.look) == count_flop(b.look)


def test_slopes_and_turns():
    from benchmarks.speed.measure import fitted_slope, interleaved, turn

    x = [16, 24, 48]
    assert fitted_slope(x, [5 * v**1.7 for v in x]) == pytest.approx(1.7)
    assert turn(lambda: time.sleep(0.01), 0.05) == pytest.approx(0.01, rel=0.5)
    called = []
    works = {name: lambda name=name: called.append(name) for name in "abc"}
    *_, times = interleaved(works, 3, 1e-9)
    assert [len(values) for values in times.values()] == [3, 3, 3] and called[::3] == ["a", "b", "c"]


def test_results_of_another_machine_are_not_mixed_in(tmp_path):
    from benchmarks.speed.measure import Results

    path = tmp_path / "speed.json"
    Results(path).put("peak", {"x": 1}, {}, True)
    assert Results(path).content["sections"]["peak"]["x"] == 1
    path.write_text(path.read_text().replace('"processor": "', '"processor": "another '))
    assert Results(path).content["sections"] == {}
    path.write_text("half a fi")
    assert Results(path).content["sections"] == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_script_says_that_there_is_no_gpu(tmp_path, run):
    assert "no GPU here" in run("speed.gpu", "--out", tmp_path)
    assert not list(tmp_path.iterdir())


def test_gpu_script_runs_on_the_processor(tmp_path, run):
    """All of it but the GPU's own parts: memory, float16 and the compiler."""
    tiny = ("--device", "cpu", "--batch", 2, "--rounds", 1, "--seconds", 0.01, "--images", 16)
    printed = run("speed.gpu", *tiny, "--variants", "float32", "bfloat16, channels_last", "--out", tmp_path)
    assert "its train_step" in printed
    assert json.loads((tmp_path / "speed_gpu.json").read_text())["sections"]["training"]["finished"]


def test_the_extra_has_its_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = {Requirement(line).name for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {Requirement(wanted).name for wanted in project["optional-dependencies"]["bench"]} <= pins


def test_readme_lists_every_script_and_every_result():
    readme = (BENCHMARKS / "README.md").read_text()
    scripts = {path for path in BENCHMARKS.rglob("*.py") if "__main__" in path.read_text()}
    assert {str(path.relative_to(BENCHMARKS)) for path in scripts} == set(
        re.findall(r"^\| `([\w/]+\.py)`", readme, re.MULTILINE)
    )
    for path in (BENCHMARKS / "results").iterdir():
        assert path.name in readme, path.name


def committed_results():
    return sorted(path for path in (BENCHMARKS / "results").iterdir() if path.suffix in (".json", ".safetensors"))


@pytest.mark.parametrize("path", committed_results(), ids=lambda path: path.name)
def test_committed_results_say_how_and_where_they_were_made(path):
    """Each holds, somewhere, the command, the machine and the version of torch."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            text = json.dumps(file.metadata())
    else:
        text = path.read_text()
    for what in ('"command"', '"machine"', "torch", "python -m "):
        assert what in text, f"{path.name} has no {what}"


def test_patients_of_the_bug_clinic_differ_from_the_healthy_only_by_their_disease(garments):
    """The healthy sampler is Algorithm 2 where the steps are 1; each sick one is the healthy one but for its disease."""
    bug_clinic = checks_of("10_bug_clinic")
    from ddpm_lib.loss import GaussianMixtureDenoiser
    from ddpm_lib.sampling import sample
    from ddpm_lib.schedule import NoiseSchedule, linear_betas

    schedule = NoiseSchedule(linear_betas(40))
    toy = GaussianMixtureDenoiser([-0.8, 0.5], [0.1, 0.1], [0.5, 0.5], schedule)

    def end(sampler, times):
        generator = torch.Generator().manual_seed(0)
        x_T = torch.randn(6, 1, generator=generator)
        return list(sampler(toy, schedule, x_T, times, generator))

    whole = list(range(40, -1, -1))
    expected = sample(toy, schedule, (6, 1), generator=torch.Generator().manual_seed(0), progress=False)
    assert torch.allclose(end(bug_clinic.healthy_sampler, whole)[-1][1], expected, atol=1e-5)
    assert torch.equal(end(bug_clinic.sampler_2, whole)[-1][1], end(bug_clinic.healthy_sampler, whole)[-2][1])
    assert torch.equal(end(bug_clinic.sampler_1, whole)[-2][1], end(bug_clinic.healthy_sampler, whole)[-2][1])
    assert not torch.isfinite(end(bug_clinic.sampler_12, whole)[-1][1]).any()
    assert torch.allclose(end(bug_clinic.sampler_13, whole)[-1][1], expected, atol=1e-4), "no disease at a stride of 1"


def test_bug_clinic_trains_saves_and_loads_its_patients(tmp_path, run, garments):
    bug_clinic = checks_of("10_bug_clinic")
    out = tmp_path / "clinic.safetensors"
    assert bug_clinic.read_results(out) == ({}, {})
    run("10_bug_clinic", "--only", "healthy", "--steps", 2, "--out", out)
    run("10_bug_clinic", "--only", "patient 8", "patient 11", "--steps", 2, "--out", out)
    (model, schedule, losses), (average, _, same_losses) = (
        bug_clinic.load_trained(n, out) for n in ("healthy", "patient 8")
    )
    assert torch.equal(losses, same_losses) and len(losses) == 2, "patient 8 differs only in its average"
    assert not torch.equal(model.stem.weight, average.stem.weight)
    assert schedule.alpha_bars[-1] < 1e-3 < bug_clinic.load_trained("patient 11", out)[1].alpha_bars[-1]
    assert model(garments[:2], 5).shape == (2, 1, 28, 28)
    with pytest.raises(SystemExit):
        run("10_bug_clinic", "--only", "patient 99")


def test_controls_of_the_bug_clinic_are_examined_by_the_notebook_and_none_twice(tmp_path, run):
    out = tmp_path / "controls.json"
    tiny = ("--draws", 1, "--fresh-draws", 1, "--training-draws", 1, "--patients", 0, "--trainings", 1, "--fresh-trainings", 2, "--steps", 2)
    run("10_bug_clinic", "controls", *tiny, "--out", out)
    lots = json.loads(out.read_text())["lots"]
    assert {r["control"] for r in lots["measured"]} == {r["control"] for r in lots["fresh"]}
    assert [r["training"] for r in lots["fresh"] if r["control"] == "small"] == [0, 2]
    assert len({r["loss"] for lot in lots.values() for r in lot}) == 5, "each its own, but both samplers share a network"
    run("10_bug_clinic", "controls", *tiny, "--out", out)
    assert json.loads(out.read_text())["lots"] == lots


def test_the_healthy_are_judged_by_others_than_themselves():
    """The committed ranges of notebook 10 come from many cases, with other noise and other trainings than those they judge."""
    lots = json.loads((BENCHMARKS / "results" / "10_bug_clinic.json").read_text())["lots"]
    for kind in ("shipped", "solver", "small"):
        measured, fresh = ([r for r in lots[lot] if r["control"] == kind] for lot in ("measured", "fresh"))
        assert len(measured) >= 20 and len(fresh) >= 8
        assert not {r["seed"] for r in measured} & {r["seed"] for r in fresh}
        assert kind != "small" or not {r["training"] for r in measured} & {r["training"] for r in fresh}
        assert kind != "small" or len({r["seed"] for r in measured + fresh}) == len(measured + fresh), "two trainings share noise"


def test_networks_without_skips_or_time_are_measured_beside_the_whole_one(tmp_path, run, monkeypatch):
    """One record for each network, seed and length; a cut one differs, and one that forgot the time gives one answer at every t."""
    script = importlib.import_module("benchmarks.04_unet")
    monkeypatch.setitem(script.SETTINGS, "held_out", 2)
    out = tmp_path / "results.json"
    run("04_unet", "--seeds", 0, 1, "--steps", 1, 2, "--out", out)
    records = json.loads(out.read_text())["records"]
    assert [(r["seed"], r["network"], r["steps"]) for r in records] == [
        (seed, name, steps) for seed in (0, 1) for name in script.NETWORKS for steps in (1, 2)
    ]
    assert len({json.dumps(r["errors"]) for r in records if r["steps"] == 2}) == 6
    torch.manual_seed(0)
    model, x_t = script.UNet(base_channels=8), torch.randn(1, 1, 8, 8)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert not torch.allclose(model(x_t, 1), model(x_t, 900))
    before = model(x_t, 1)
    assert not torch.allclose(script.cut_skips(model)(x_t, 1), before)
    script.forget_time(model)
    assert torch.equal(model(x_t, 1), model(x_t, 900))


def test_pictures_of_one_seed_start_alike_and_those_of_two_share_nothing(garments):
    """The seed gives x_T, whoever draws and however many at a time; another seed gives other noise in every place."""
    from benchmarks.quality import draw
    from ddpm_lib.schedule import NoiseSchedule, linear_betas

    class Watched(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), []

        def forward(self, x_t, t):
            self.seen.append(x_t[t == 10])
            return torch.zeros_like(x_t)

    def first_states(seed, **settings):
        model = Watched()
        draw(model, NoiseSchedule(linear_betas(10)), 6, seed, precision="float32", **settings)
        return torch.cat(model.seen)

    ddim = first_states(0, sampler="ddim", steps=2, eta=1.0, spacing="time", batch=6)
    assert torch.equal(ddim, first_states(0, sampler="dpm_solver", steps=5, spacing="time", batch=4))
    assert torch.equal(ddim, first_states(0, sampler="ancestral", steps=10, batch=1))
    other = first_states(1, sampler="ddim", steps=2, eta=1.0, spacing="time")
    assert not any(torch.equal(a, b) for a in ddim for b in other)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("08_fast_sampling", ("--only", "ddim", "5", "eta=0", "--n", 10)),
        ("09_evaluation", ("quality", "--n", 10, "--sampler", "dpm_solver", "--steps", 2, "--seed", 0, 1, 2)),
    ],
)
def test_quality_is_measured_by_both_rulers_and_with_every_seed(tmp_path, run, script, words):
    out = tmp_path / "results.json"
    run(script, *words, "--out", out)
    (records,) = [part for part in json.loads(out.read_text()).values() if isinstance(part, list)]
    assert [record["seed"] for record in records] == [0, 1, 2] and all(record["n"] == 10 for record in records)
    for name in ("frechet", "second_frechet"):
        assert len({record[name] for record in records}) == 3
        assert all(record[name.replace("frechet", "floor")] > 0 for record in records)
    written = out.read_text()
    if script == "08_fast_sampling":
        assert "0 to do" in run(script, *words, "--out", out) and out.read_text() == written, "nothing is made twice"


def test_guidance_is_measured_at_every_scale_and_nothing_twice(tmp_path, run):
    out = tmp_path / "11_guidance.json"
    words = ("--n", 10, "--seed", 0, "--scale", 1, 3, "--processes", 1, "--out", out)
    run("11_guidance", *words)
    results, written = json.loads(out.read_text()), out.read_text()
    assert [(r["scale"], r["evaluations"]) for r in results["scales"]] == [(1, 20), (3, 40)] and results["real"]["n"] == 10
    assert results["scales"][0]["frechet"] != results["scales"][1]["frechet"]
    assert all(0 <= r[name] <= 1 for r in results["scales"] for name in ("in_class", "precision", "recall"))
    run("11_guidance", *words)
    assert out.read_text() == written


def test_quality_per_minute_runs_the_command_and_goes_on_where_it_stopped(tmp_path, run, monkeypatch):
    """One row of a second's training: it is there, by both rulers and both ways of sampling, and is not made again."""
    from benchmarks.speed import quality_per_minute

    monkeypatch.setattr(quality_per_minute, "plan", lambda: [("ddpm_lib", 0.02, 0)])
    monkeypatch.setattr(quality_per_minute, "RUNS", tmp_path)
    out = tmp_path / "results.json"
    run("speed.quality_per_minute", "--n", 10, "--out", out)
    (row,) = json.loads(out.read_text())["rows"]
    assert row["steps"] > 0 and row["seconds"] > 1 and row["settings"]["optimizer"] == "muon"
    assert all(row[eta]["frechet"] > 0 < row[eta]["second_frechet"] for eta in ("eta 0", "eta 1"))
    assert run("speed.quality_per_minute", "--n", 10, "--out", out).endswith("to do: \n")
