// The page that draws: its controls, its pictures and its slider. The API for the console is window.ddpm.

import { connect, sizeOf } from "./client.js";

const root = document.querySelector(".draw"), find = (name) => root.querySelector(`[data-draw="${name}"]`);
const form = root.querySelector("form"), slider = find("time");
const PANES = ["x_t", "noise", "x_0"];
const USUAL_STEPS = { ancestral: 100, ddim: 50, dpm_solver: 20 }; // where a sampler is chosen
const NEED_NOISE = ["no_noise", "beta_for_root"]; // mistakes that only a sampler which adds noise can make

const network = connect(new URL(root.dataset.folder, document.baseURI), (loaded, total) => {
  Object.assign(root.querySelector("progress"), { max: total, value: loaded });
  find("bytes").textContent = `${(loaded / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`;
});

let rows = []; // the drawings on show: the healthy one, and perhaps a broken one
let times = []; // the times of their states
let following = true; // whether the slider goes along with the drawing: until the reader takes it
let stopper = null; // ends the present drawing
let playing = null; // the timer of Play

window.ddpm = {
  get ready() {
    return network.ready;
  },
  draw: (options) => network.draw(options),
};

const say = (sentence) => (find("status").textContent = sentence);

/** The states of one drawing as bytes, and the three canvases that show one of them. */
class Row {
  constructor(element, count, [channels, height, width], states) {
    this.columns = Math.ceil(Math.sqrt(count));
    Object.assign(this, { count, channels, height, width, size: sizeOf([channels, height, width]) });
    this.bytes = Object.fromEntries(PANES.map((pane) => [pane, new Uint8ClampedArray(states * count * this.size)]));
    this.seen = 0; // states that have come; what the network made of one comes with the next
    this.canvases = PANES.map((pane) => element.querySelector(`canvas[data-pane="${pane}"]`));
    for (const canvas of this.canvases) {
      canvas.width = this.columns * (width + 1) - 1;
      canvas.height = Math.ceil(count / this.columns) * (height + 1) - 1;
    }
    element.hidden = false;
  }

  add({ k, x_t, x_0, noise }) {
    const batch = this.count * this.size;
    this.bytes.x_t.set(x_t.map((x) => (x + 1) * 127.5), k * batch);
    if (k > 0) {
      this.bytes.x_0.set(x_0.map((x) => (x + 1) * 127.5), (k - 1) * batch);
      this.bytes.noise.set(noise.map((e) => (e / 3 + 1) * 127.5), (k - 1) * batch); // black and white are three standard deviations
    }
    this.seen = k + 1;
  }

  /** State k, and what the network made of it; of the last state it was not asked, so there stands what it made of the one before. */
  show(k) {
    const last = this.seen - 1;
    for (const [i, canvas] of this.canvases.entries()) {
      const state = PANES[i] === "x_t" ? k : Math.min(k, last - 1);
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      if (k <= last && state >= 0) this.paint(canvas, PANES[i], state);
    }
  }

  paint(canvas, pane, state) {
    for (let n = 0; n < this.count; n++) {
      const x = (n % this.columns) * (this.width + 1), y = Math.floor(n / this.columns) * (this.height + 1);
      canvas.getContext("2d").putImageData(this.picture(pane, state * this.count + n), x, y);
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
  following = following && !go;
  if (go) {
    if (slider.value === slider.max) slider.value = 0;
    playing = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) play(false);
    }, Math.max(30, 3000 / form.elements.steps.value));
  }
  find("play").textContent = playing ? "Pause" : "Play";
}

/** What the form says, as options for a drawing, and the mistake to make beside it, or null. */
function wanted() {
  const { count, seed, label, scale, sampler, steps, eta, mistake } = Object.fromEntries(new FormData(form));
  const options = { count: Number(count), seed: Number(seed), sampler, steps: Number(steps), eta: sampler === "ddim" ? Number(eta) : 0 };
  if (label !== "-1") Object.assign(options, { label: Number(label), scale: Number(scale) });
  return { options, mistake: mistake || null };
}

/** An empty stage, for a drawing to come. */
function clear() {
  play(false);
  [rows, times, following] = [[], [], true];
  Object.assign(slider, { max: 0, value: 0 });
  find("broken").hidden = true;
  find("stage").hidden = false;
  find("stop").disabled = false;
}

/** One drawing, into a row of its own. */
async function drawInto(element, options, signal) {
  const row = new Row(element, options.count, (await network.ready).shape, options.steps + 1);
  rows.push(row);
  await network.stream(options, (state) => {
    if (signal.aborted) return;
    row.add(state);
    times[state.k] = state.t;
    slider.max = Math.max(slider.max, state.k);
    if (following) slider.value = state.k;
    find("step").textContent = `step ${state.k} of ${options.steps}`;
    show();
  }, signal);
}

function explain(mistake) {
  find("mistake-name").textContent = form.elements.mistake.selectedOptions[0].textContent;
  find("mistake-says").replaceChildren(...root.querySelector(`[data-mistake="${mistake}"]`).cloneNode(true).childNodes);
}

/** What the form asks for: the healthy drawing, and the broken one from the same noise. */
async function drawAll() {
  const { options, mistake } = wanted();
  stopper?.abort();
  const { signal } = (stopper = new AbortController());
  let sentence = "Done. Drag the slider through time.";
  clear();
  say(`Drawing ${options.count === 1 ? "one picture" : `${options.count} pictures`} in ${options.steps} steps.`);
  try {
    await drawInto(find("healthy"), options, signal);
    if (mistake && !signal.aborted) {
      explain(mistake);
      await drawInto(find("broken"), { ...options, mistake }, signal);
    }
    if (signal.aborted) sentence = "Stopped. The slider goes as far as the drawing came.";
  } catch (error) {
    sentence = `${error.message}.`;
  }
  if (stopper.signal !== signal) return; // another drawing has begun meanwhile
  find("stop").disabled = true;
  say(sentence);
}

/** The classes that the network can be told, as choices of the form. */
function offerClasses(names) {
  find("label").hidden = names.length === 0;
  for (const [number, name] of names.entries()) form.elements.label.add(new Option(name, number));
}

/** The first click: load, then draw. Where that is not possible, the stored drawing takes its place. */
async function start() {
  const go = find("go");
  go.disabled = true;
  find("loading").hidden = false;
  say("Loading the network.");
  try {
    offerClasses((await network.ready).classes);
  } catch (error) {
    go.disabled = false;
    find("loading").hidden = true;
    find("stored").hidden = false;
    return say(`The network cannot run here: ${error.message}. Below is a drawing that it made earlier; drag its slider. The button tries again.`);
  }
  const waiting = [document.body, go].includes(document.activeElement); // and not reading elsewhere
  find("intro").hidden = find("stored").hidden = true;
  form.hidden = false;
  if (waiting) form.querySelector("button").focus();
  await drawAll();
}

/** What a choice in the form changes beside it. */
function arrange(event) {
  const { sampler, steps, eta, mistake } = form.elements;
  if (event?.target === sampler) steps.value = Math.min(USUAL_STEPS[sampler.value], steps.max);
  find("eta").hidden = sampler.value !== "ddim";
  find("eta-value").textContent = Number(eta.value).toFixed(1);
  find("scale").hidden = form.elements.label.value === "-1";
  find("scale-value").textContent = form.elements.scale.value;
  find("count-value").textContent = form.elements.count.value;
  const silent = sampler.value === "dpm_solver" || (sampler.value === "ddim" && Number(eta.value) === 0);
  find("silent").hidden = !silent;
  for (const option of mistake.options) option.disabled = silent && NEED_NOISE.includes(option.value);
  if (mistake.selectedOptions[0].disabled) mistake.value = "";
  for (const code of root.querySelectorAll("[data-code]")) code.hidden = code.dataset.code !== sampler.value;
}

find("go").addEventListener("click", start);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  drawAll();
});
form.addEventListener("input", arrange);
find("again").addEventListener("click", () => {
  form.elements.seed.value = Math.floor(Math.random() * 10000);
  if (form.reportValidity()) drawAll();
});
find("stop").addEventListener("click", () => {
  form.querySelector("button").focus(); // this one is about to be disabled
  stopper?.abort();
});
find("play").addEventListener("click", () => play());
slider.addEventListener("input", () => {
  play(false);
  following = false;
  show();
});
arrange();
