"""The page that draws: its samplers in node, then the whole page in Chromium, beside the same drawings in torch."""

import functools
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
import torch
from conftest import ROOT
from test_pages import QuietHandler, Visit, serious

from ddpm_lib.checkpoint import load_pretrained, save_checkpoint
from ddpm_lib.data import data_folder
from ddpm_lib.fast_sampling import ddim_sample, ddim_step, dpm_solver_sample
from ddpm_lib.guidance import ClassUNet, Guided
from ddpm_lib.sampling import even_times, reverse_step
from ddpm_lib.schedule import NoiseSchedule, cosine_betas, linear_betas
from ddpm_lib.unet import UNet
from docs import live, runtime

SAMPLE = {"ddim": ddim_sample, "dpm_solver": dpm_solver_sample}
DONE = "document.querySelector('[data-draw=status]').textContent.startsWith('Done')"


# which canvases of the healthy drawing show something
PAINTED = """() => [...document.querySelectorAll('[data-draw=healthy] canvas')].map(canvas => {
    const empty = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height });
    return canvas.toDataURL() !== empty.toDataURL() })"""


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_samplers_agree_with_the_library_in_node(tmp_path, schedule):
    node = runtime.tool("node")
    if node is None:
        assert "DDPM_REQUIRE_BROWSER" not in os.environ, "there is no node"
        pytest.skip("there is no node")
    slope, x_T = 0.9, torch.randn(1, 1, 4, 4, generator=seeded(0))

    def model(x_t, t):
        return slope * x_t + (t / schedule.T / 10).reshape(-1, 1, 1, 1)

    def walked(sampler, steps, clip):
        x_0 = SAMPLE[sampler](model, schedule, x_T.shape, steps=steps, x_T=x_T, clip=clip, progress=False)
        return {"sampler": sampler, "steps": steps, "clip": clip, "x_0": x_0.flatten().tolist()}

    def stepped(sampler, eta, t, s):
        noise = torch.randn(x_T.shape, generator=seeded(1))  # what the step will draw
        if sampler == "ddim":
            x_s = ddim_step(model, x_T, t, s, schedule, eta=eta, generator=seeded(1))
        else:
            x_s = reverse_step(model, x_T, t, schedule, s, generator=seeded(1))
        return {"sampler": sampler, "eta": eta, "t": t, "s": s, "noise": noise.flatten().tolist(), "x_s": x_s.flatten().tolist()}

    cases = {
        "T": schedule.T,
        "alphaBars": schedule.alpha_bars.tolist(),
        "otherAlphaBars": NoiseSchedule(cosine_betas(schedule.T)).alpha_bars.tolist(),
        "slope": slope,
        "x_T": x_T.flatten().tolist(),
        "times": {steps: even_times(schedule.T, steps) for steps in (1, 3, 7, 16, 48, 999, 1000)},
        "walks": [walked(name, steps, clip) for name in SAMPLE for steps in (1, 2, 10, 20) for clip in (True, False)],
        "steps": [stepped("ancestral", 1, t, s) for t, s in ((1000, 950), (300, 299), (20, 0))]
        + [stepped("ddim", eta, t, s) for eta in (0.3, 1.0) for t, s in ((1000, 950), (300, 250))],
    }
    cases["guided"] = []
    for label, scale, calls in ((1, 1.0, 1), (1, 2.5, 2), (0, 0.0, 2), (-1, 3.0, 1)):
        calls = {"label": label, "scale": scale, "calls": calls}
        noise = Guided(lambda x_t, t, labels: model(x_t, t) + labels.reshape(-1, 1, 1, 1), label, scale)(x_T, torch.tensor([300]))
        cases["guided"].append(calls | {"noise": noise.flatten().tolist()})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    command = [node, "--test", str(ROOT / "tests" / "browser" / "samplers.test.mjs")]
    env = os.environ | {"DDPM_CASES": str(tmp_path / "cases.json")}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def build(folder, checkpoint, *options):
    """`make live` without serving; skips where the runtime can't be had, unless a browser is required."""
    if runtime.npm_package() is None:
        assert "DDPM_REQUIRE_BROWSER" not in os.environ, "npm brought no onnxruntime-web"
        pytest.skip("npm brought no onnxruntime-web")
    live.main([str(checkpoint), "--build", "--site", str(folder), *options])
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("live") / "site", data_folder() / "fashion-mnist.safetensors")


def serving(site):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module")
def address(site):
    server, address = serving(site)
    yield address
    server.shutdown()


@pytest.fixture(scope="module")
def context(browser):
    context = browser.new_context(viewport={"width": 1000, "height": 900})
    yield context
    context.close()


def drawn(page, **options):
    """What `ddpm.draw` returns; a tensor x_T goes over as an array, and the pictures come back as tensors."""
    options = {name: value.flatten().tolist() if torch.is_tensor(value) else value for name, value in options.items()}
    found = page.evaluate("""async (options) => {
        if (options.x_T) options.x_T = Float32Array.from(options.x_T);
        const { x_0, frames, times, shape } = await ddpm.draw(options);
        return { x_0: [...x_0], frames: [...frames], times, shape } }""", options)
    shape = found["shape"]
    return torch.tensor(found["x_0"]).reshape(shape), torch.tensor(found["frames"]).reshape(-1, *shape), found["times"]


@pytest.fixture(scope="module")
def page(context, address):
    with Visit(context, address, "index") as visit:
        yield visit.page
        assert not visit.faults, visit.faults


@pytest.mark.parametrize("sampler", SAMPLE)
@pytest.mark.parametrize("steps", [1, 10, 20])
def test_draws_what_torch_draws(sampler, steps, page):
    """One step from T magnifies the network's error by 1 / sqrt(alpha_bar_T) = 157, so there the rounding of the weights shows."""
    x_T = torch.randn(2, 1, 28, 28, generator=seeded(3))
    x_0, frames, times = drawn(page, sampler=sampler, steps=steps, x_T=x_T)
    assert times == even_times(1000, steps) and torch.equal(frames[0], x_T) and torch.equal(frames[-1], x_0)
    model, schedule = load_pretrained()
    exact = SAMPLE[sampler](model, schedule, x_T.shape, steps=steps, x_T=x_T, progress=False)
    rounded = SAMPLE[sampler](live.half(model), schedule, x_T.shape, steps=steps, x_T=x_T, progress=False)
    assert (x_0 - rounded).abs().max() < 1e-3
    assert (x_0 - exact).abs().mean() < 2e-2 if steps == 1 else (x_0 - exact).abs().max() < 2e-2


def test_a_seed_gives_its_pictures_again(page):
    one, _, _ = drawn(page, count=1, seed=11, sampler="ancestral", steps=3)
    two, _, _ = drawn(page, count=2, seed=11, sampler="ancestral", steps=3)
    assert torch.allclose(two[:1], one, atol=1e-4), "however many are drawn beside it"
    other, _, _ = drawn(page, count=1, seed=12, sampler="ancestral", steps=3)
    assert (other - one).abs().mean() > 0.1


def test_wrong_options_are_errors_with_a_sentence(page):
    for options, says in (
        ({"count": 17}, "count must be a whole number from 1 to 16, got 17"),
        ({"sampler": "euler"}, 'sampler must be "ancestral" or "ddim" or "dpm_solver", got "euler"'),
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, got 0"),
        ({"x_T": [0.0] * 784, "count": 2}, "x_T must have 784 numbers for each of 2 pictures, got 784"),
        ({"label": 3}, "label: this network knows no classes"),
    ):
        found = page.evaluate("""async (options) => {
            if (options.x_T) options.x_T = Float32Array.from(options.x_T);
            try { await ddpm.draw(options) } catch (error) { return [error instanceof Error, error.message] } }""", options)
        assert found == [True, says]


@pytest.mark.parametrize("width", [1000, 390])
def test_page_draws_scrubs_breaks_and_stops(width, context, address):
    with Visit(context, address, "index") as visit:
        page = visit.page
        page.set_viewport_size({"width": width, "height": 844})
        assert not any("onnx" in url or "wasm" in url for url in visit.asked), "nothing heavy comes before the click"
        assert serious(page) == []
        page.get_by_role("button", name="Load the network and draw").press("Enter")
        page.wait_for_function(DONE, timeout=120_000)
        slider = page.get_by_label("Time, from noise to picture")
        assert slider.get_attribute("aria-valuetext") == "t = 0" and slider.get_attribute("max") == "20"
        assert page.evaluate(PAINTED) == [True] * 3, "at the end the last noise and the last x_0 are still there"
        last = page.evaluate("document.querySelector('canvas').toDataURL()")
        slider.press("Home")
        assert slider.get_attribute("aria-valuetext") == "t = 1000"
        panes = page.evaluate("[...document.querySelectorAll('[data-draw=healthy] canvas')].map(c => c.toDataURL())")
        assert len({last, *panes}) == 4, "noise, the noise that is seen, the picture behind it, and the end all differ"
        page.get_by_role("button", name="Play").click()
        page.wait_for_function("document.querySelector('[data-draw=time]').value === '20'")
        assert page.evaluate("document.querySelector('canvas').toDataURL()") == last
        assert serious(page) == []

        page.get_by_label("Pictures").fill("1")
        page.get_by_label("Steps").fill("5")
        assert page.get_by_label("Break it").locator("option[value=no_noise]").is_disabled(), "this sampler adds none"
        page.get_by_label("Break it").select_option("wrong_schedule")
        page.get_by_role("button", name="Draw", exact=True).click()
        page.wait_for_function(f"!document.querySelector('[data-draw=broken]').hidden && {DONE}", timeout=60_000)
        both = page.evaluate("[...document.querySelectorAll('canvas[data-pane=x_t]')].map(c => c.toDataURL())")
        assert both[0] != both[1] and "another noise schedule" in page.locator("[data-draw=mistake-says]").inner_text()

        page.locator("select[name=sampler]").select_option("ancestral")
        assert page.get_by_label("Steps").input_value() == "100"
        page.get_by_text("Show the code").click()
        assert "def reverse_step(" in page.locator("[data-code]:visible").inner_text()
        page.get_by_role("button", name="Draw", exact=True).click()
        page.wait_for_function("document.querySelector('[data-draw=time]').max >= 3", timeout=60_000)
        page.get_by_role("button", name="Stop").click()
        page.wait_for_function("document.querySelector('[data-draw=status]').textContent.startsWith('Stopped')")
        assert 3 <= int(slider.get_attribute("max")) < 100 and page.evaluate(PAINTED) == [True] * 3
        assert page.evaluate("document.activeElement.textContent") == "Draw", "the focus is not lost with the button"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert not visit.faults, visit.faults


@pytest.mark.parametrize("missing", ["**/*.wasm", "**/model.onnx"])
def test_reader_without_the_network_gets_a_stored_drawing(missing, context, address):
    with Visit(context, address, "index") as visit:
        page = visit.page
        page.route(missing, lambda route: route.abort())
        page.get_by_role("button", name="Load the network and draw").click()
        page.get_by_text("The network cannot run here").wait_for(timeout=60_000)
        stored = page.locator("[data-draw=stored] iframe")
        stored.scroll_into_view_if_needed()
        frame = stored.element_handle().content_frame()
        frame.wait_for_function("document.querySelector('output').textContent === 't = 1000'")
        page.unroute(missing)
        page.get_by_role("button", name="Load the network and draw").click()  # the button tries again
        page.wait_for_function(DONE, timeout=120_000)
        assert not stored.is_visible()


def test_server_that_does_not_know_scripts_gets_the_stored_drawing_too(context, address):
    with Visit(context, address, "index") as visit:
        page = visit.page
        page.route("**/draw.js", lambda route: route.fulfill(body="", content_type="application/octet-stream"))
        page.reload()
        page.get_by_text("cannot run in this browser, or from this server").wait_for()
        assert page.locator("[data-draw=stored] iframe").is_visible() and not page.locator("[data-draw=go]").is_visible()


def test_reader_without_scripts_sees_stills_and_no_dead_button(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/index.html")
    assert page.locator("noscript .stills img").first.is_visible() and page.locator("noscript .stills img").count() >= 3
    assert not page.locator("[data-draw=go]").is_visible() and not page.locator("iframe").first.is_visible()
    context.close()


def test_learner_s_own_model_draws_in_its_size_and_colours(tmp_path, context):
    """32x32 in colour, another schedule, weights that are not zero anywhere."""
    torch.manual_seed(0)
    model, schedule = UNet(image_channels=3, base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(cosine_betas(200))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    save_checkpoint(tmp_path / "own.safetensors", model, schedule, {"image size": "32"})
    server, address = serving(build(tmp_path / "site", tmp_path / "own.safetensors"))
    with Visit(context, address, "index") as visit:
        x_T = torch.randn(3, 3, 32, 32, generator=seeded(0))
        x_0, _, times = drawn(visit.page, sampler="ddim", steps=4, x_T=x_T, clip=False)
        assert times == [200, 150, 100, 50, 0]
        expected = ddim_sample(live.half(model), schedule, x_T.shape, steps=4, x_T=x_T, clip=False, progress=False)
        assert torch.allclose(x_0, expected, rtol=1e-3, atol=1e-3)
        visit.page.get_by_role("button", name="Load the network and draw").click()
        visit.page.wait_for_function(DONE, timeout=60_000)
        assert not visit.faults, visit.faults
    server.shutdown()


def test_network_is_small_and_its_weights_are_stored_in_half(site):
    import onnx

    path = site / "draw" / "model.onnx"
    assert path.stat().st_size <= 4_000_000
    graph = onnx.load(path).graph
    assert [part.name for part in graph.input] == ["x_t", "t"] and [part.name for part in graph.output] == ["noise"]
    heavy = [part for part in graph.initializer if len(part.raw_data) > 10_000]
    assert {part.data_type for part in heavy} == {onnx.TensorProto.FLOAT16}


def test_wrong_or_foreign_file_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "foreign.safetensors").write_bytes(b"no such thing")
    model, schedule = UNet(image_channels=2, base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(linear_betas(50))
    save_checkpoint(tmp_path / "two.safetensors", model, schedule)
    save_checkpoint(tmp_path / "odd.safetensors", UNet(base_channels=8, channel_multipliers=(1, 2)), schedule, {"image size": "27"})
    for name, says in (
        ("none", "there is no file"),
        ("foreign", "no whole safetensors file"),
        ("two", "draws pictures of 2 channels"),
        ("odd", "height and width divisible by 2"),
    ):
        with pytest.raises(SystemExit, match=f"make live: .*{says}"):
            live.main([str(tmp_path / f"{name}.safetensors"), "--build", "--site", str(tmp_path / "site")])
    assert not (tmp_path / "site").exists()
    with pytest.raises(SystemExit, match="holds something else"):  # a folder that is not ours to empty
        live.main(["--build", "--site", str(tmp_path)])
    assert (tmp_path / "two.safetensors").exists()


def test_without_npm_or_network_the_page_says_what_is_missing(tmp_path, monkeypatch, capsys):
    refusing = tmp_path / "npm"
    refusing.write_text("#!/bin/sh\necho 'npm error network down' >&2\nexit 1\n")
    refusing.chmod(0o755)
    for npm, says in ((None, "there is no npm"), (str(refusing), f"could not fetch {runtime.RUNTIME}: npm error network down")):
        monkeypatch.setattr(runtime, "tool", lambda name, npm=npm: npm)
        assert runtime.npm_package(tmp_path / "cache") is None
        assert says in capsys.readouterr().err
    assert not list((tmp_path / "cache").iterdir())


def test_book_without_the_runtime_still_has_its_page(tmp_path, monkeypatch):
    from docs import build

    monkeypatch.setattr(build, "page_part", lambda *_: None)
    build.stage(tmp_path / "book")
    page = (tmp_path / "book" / "draw.md").read_text()
    assert "was built without the network that draws here" in page and not re.search("DRAWING|data-draw", page)


def test_the_other_schedule_is_another_one():
    for betas in (linear_betas(100), cosine_betas(100)):
        schedule = NoiseSchedule(betas)
        assert (live.another_schedule(schedule).alpha_bars - schedule.alpha_bars).abs().max() > 0.1


def test_a_network_with_classes_draws_the_one_that_is_asked_for(tmp_path, context):
    """By the console as in torch, for any label and scale; by the form, which offers the classes by their names."""
    torch.manual_seed(0)
    model, schedule = ClassUNet(3, base_channels=8, channel_multipliers=(1, 2)), NoiseSchedule(linear_betas(200))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape))
    model.class_names = ["hat", "glove", "scarf"]
    save_checkpoint(tmp_path / "own.safetensors", model, schedule, {"image size": "16"})
    server, address = serving(build(tmp_path / "site", tmp_path / "own.safetensors"))
    with Visit(context, address, "index") as visit:
        page, x_T = visit.page, torch.randn(2, 1, 16, 16, generator=seeded(0))
        for label, scale in ((1, 2.5), (0, 0.0), (-1, 1.0)):
            x_0, _, _ = drawn(page, sampler="ddim", steps=4, x_T=x_T, clip=False, label=label, scale=scale)
            expected = ddim_sample(Guided(live.half(model), label, scale), schedule, x_T.shape, steps=4, x_T=x_T, clip=False, progress=False)
            assert torch.allclose(x_0, expected, rtol=1e-3, atol=1e-3)
        page.get_by_role("button", name="Load the network and draw").click()
        page.wait_for_function(DONE, timeout=120_000)
        free = page.evaluate("document.querySelector('canvas').toDataURL()")
        assert not page.get_by_label("Scale, how hard to insist").is_visible(), "without a class there is nothing to insist on"
        page.get_by_label("Class").select_option("scarf")
        page.get_by_label("Scale, how hard to insist").fill("3")
        page.get_by_role("button", name="Draw", exact=True).click()
        page.wait_for_function(f"document.querySelector('canvas').toDataURL() !== {json.dumps(free)} && {DONE}", timeout=60_000)
        assert serious(page) == [] and not visit.faults, visit.faults
    server.shutdown()
