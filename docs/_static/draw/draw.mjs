// The page that draws: its controls, its pictures and its slider. The API for the console is window.ddpm.

import { connect } from "./client.mjs";

const root = document.querySelector(".draw"), find = (name) => root.querySelector(`[data-draw="${name}"]`);
const form = root.querySelector("form"), slider = find("time"), status = find("status"), bar = root.querySelector("progress");
const PANES = ["x_t", "noise", "x_0"];
const STEPS = { ancestral: 100, ddim: 50, dpm_solver: 20 }; // where a sampler is chosen
const ADDS_NOISE = ["no_noise", "beta_for_root"]; // mistakes that need a sampler which adds noise

const network = connect(new URL(root.dataset.folder, document.baseURI), (loaded, total) => {
  bar.max = total;
  bar.value = loaded;
  find("bytes").textContent = `${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
});
let rows = [], times = [], followed = 0, stopper = null, playing = null;

window.ddpm = {
  get ready() {
    return network.ready;
  },
  draw: (options) => network.draw(options),
};

/** The states of one drawing as bytes, and the three canvases that show one of them. */
class Row {
  constructor(element, count, shape, states) {
    const [channels, height, width] = shape;
    this.columns = Math.ceil(Math.sqrt(count));
    Object.assign(this, { element, count, channels, height, width, size: channels * height * width });
    this.bytes = Object.fromEntries(PANES.map((pane) => [pane, new Uint8ClampedArray(states * count * this.size)]));
    this.seen = 0; // states whose x_t is there; what the network made of a state comes with the next one
    this.canvases = PANES.map((pane) => element.querySelector(`canvas[data-pane="${pane}"]`));
    for (const canvas of this.canvases) {
      canvas.width = this.columns * (width + 1) - 1;
      canvas.height = Math.ceil(count / this.columns) * (height + 1) - 1;
    }
    element.hidden = false;
  }

  add({ k, x_t, x_0, noise }) {
    const place = this.count * this.size;
    this.bytes.x_t.set(x_t.map((x) => (x + 1) * 127.5), k * place);
    if (k > 0) {
      this.bytes.x_0.set(x_0.map((x) => (x + 1) * 127.5), (k - 1) * place);
      this.bytes.noise.set(noise.map((e) => (e / 3 + 1) * 127.5), (k - 1) * place); // three standard deviations
    }
    this.seen = k + 1;
  }

  show(k) {
    for (const [i, canvas] of this.canvases.entries()) {
      const context = canvas.getContext("2d"), known = PANES[i] === "x_t" ? k < this.seen : k + 1 < this.seen;
      context.clearRect(0, 0, canvas.width, canvas.height);
      if (!known) continue;
      for (let n = 0; n < this.count; n++) {
        const picture = this.picture(PANES[i], k * this.count + n);
        context.putImageData(picture, (n % this.columns) * (this.width + 1), Math.floor(n / this.columns) * (this.height + 1));
      }
    }
  }

  picture(pane, number) {
    const picture = new ImageData(this.width, this.height), pixels = this.width * this.height;
    const from = number * this.size, bytes = this.bytes[pane];
    for (let i = 0; i < pixels; i++) {
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = bytes[from + (this.channels === 3 ? c * pixels : 0) + i];
      picture.data[4 * i + 3] = 255;
    }
    return picture;
  }
}

function show() {
  const k = Number(slider.value), text = `t = ${times[k]}`;
  find("t").textContent = text;
  slider.setAttribute("aria-valuetext", text);
  find("stage").classList.toggle("draw-end", times[k] === 0);
  for (const row of rows) row.show(k);
}

function play(go = !playing) {
  clearInterval(playing);
  playing = null;
  if (go) {
    if (slider.value === slider.max) slider.value = 0;
    playing = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) play(false);
    }, Math.max(30, 3000 / slider.max));
  }
  find("play").textContent = playing ? "Pause" : "Play";
}

/** What the form says, as options for `draw`. */
function wanted() {
  const { count, seed, sampler, steps, eta, mistake } = Object.fromEntries(new FormData(form));
  const options = { count: Number(count), seed: Number(seed), sampler, steps: Number(steps) };
  return [{ ...options, eta: sampler === "ddim" ? Number(eta) : 0 }, mistake || null];
}

/** One drawing, into a row of its own; the slider follows it while nobody else moves it. */
async function drawInto(element, options, about, signal) {
  const row = new Row(element, options.count, about.shape, options.steps + 1);
  rows.push(row);
  const each = (state) => {
    if (signal.aborted) return;
    row.add(state);
    times[state.k] = state.t;
    slider.max = Math.max(slider.max, state.k);
    if (Number(slider.value) === followed) slider.value = followed = state.k;
    show();
    find("step").textContent = `step ${state.k} of ${options.steps}`;
  };
  await network.draw(options, { each, signal });
  return row.seen === options.steps + 1;
}

async function drawAll() {
  const [options, mistake] = wanted(), about = await network.ready;
  stopper?.abort();
  const { signal } = (stopper = new AbortController());
  play(false);
  [rows, times, followed] = [[], [], 0];
  find("broken").hidden = true;
  Object.assign(slider, { max: 0, value: 0 });
  find("stage").hidden = false;
  find("stop").disabled = false;
  root.dataset.state = "drawing";
  status.textContent = `Drawing ${options.count === 1 ? "one picture" : `${options.count} pictures`} in ${options.steps} steps.`;
  try {
    let whole = await drawInto(find("healthy"), options, about, signal);
    if (whole && mistake && !signal.aborted) {
      followed = Number(slider.value); // it goes through time once more
      find("mistake-name").textContent = form.elements.mistake.selectedOptions[0].textContent;
      find("mistake-says").textContent = find("mistakes").querySelector(`[data-mistake="${mistake}"]`).textContent;
      whole = await drawInto(find("broken"), { ...options, mistake }, about, signal);
    }
    if (!signal.aborted) status.textContent = "Done. Drag the slider through time.";
    else if (stopper.signal === signal) status.textContent = "Stopped. The slider goes as far as it came.";
  } catch (error) {
    if (stopper.signal === signal) status.textContent = `${error.message}.`;
  }
  if (stopper.signal === signal) {
    find("stop").disabled = true;
    root.dataset.state = "drawn";
  }
}

/** The first click: load, then draw. Where that is not possible, the stored drawing takes its place. */
async function start() {
  find("go").disabled = true;
  find("loading").hidden = false;
  status.textContent = "Loading the network.";
  try {
    const about = await network.ready;
    form.elements.steps.max = about.T;
    find("intro").hidden = true;
    form.hidden = false;
    form.querySelector("button").focus();
    await drawAll();
  } catch (error) {
    find("go").disabled = false;
    find("loading").hidden = true;
    find("stored").hidden = false;
    status.textContent = `The network cannot run here: ${error.message}. Below is a drawing that it made earlier; drag its slider.`;
  }
}

/** What a choice in the form changes beside it. */
function follow(event) {
  const { sampler, steps, eta, mistake } = form.elements;
  if (event?.target === sampler) steps.value = STEPS[sampler.value];
  find("eta").hidden = sampler.value !== "ddim";
  find("eta-value").textContent = Number(eta.value).toFixed(1);
  find("count-value").textContent = form.elements.count.value;
  const silent = sampler.value === "dpm_solver" || (sampler.value === "ddim" && Number(eta.value) === 0);
  for (const option of mistake.options) option.disabled = silent && ADDS_NOISE.includes(option.value);
  if (mistake.selectedOptions[0].disabled) mistake.value = "";
  for (const code of root.querySelectorAll("[data-code]")) code.hidden = code.dataset.code !== sampler.value;
}

find("go").addEventListener("click", start);
form.addEventListener("submit", (event) => (event.preventDefault(), drawAll()));
form.addEventListener("input", follow);
find("again").addEventListener("click", () => {
  form.elements.seed.value = Math.floor(Math.random() * 10000);
  if (form.reportValidity()) drawAll();
});
find("stop").addEventListener("click", () => stopper?.abort());
find("play").addEventListener("click", () => play());
slider.addEventListener("input", () => (play(false), show()));
follow();
