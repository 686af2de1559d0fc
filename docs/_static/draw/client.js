// What a page, or the console, says to the network: `ready` loads it, `draw` draws. The network itself is in worker.js.

import { MISTAKES, SAMPLERS, evenTimes } from "./samplers.js";

export const MOST = 16; // pictures at a time

const DEFAULTS = { seed: 0, sampler: "dpm_solver", steps: 20, eta: 0, clip: true, mistake: null, label: -1, scale: 1 };

/** How many numbers a picture of that shape has. */
export const sizeOf = (shape) => shape.reduce((a, b) => a * b);

function checkWhole(name, value, lowest, highest) {
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new Error(`${name} must be a whole number from ${lowest} to ${highest}, got ${value}`);
  }
}

function checkAmong(name, value, names) {
  if (!names.includes(value)) throw new Error(`${name} must be ${names.map((one) => `"${one}"`).join(" or ")}, got ${JSON.stringify(value)}`);
}

function checkNoise(x_T, count, size) {
  if (!(x_T instanceof Float32Array)) throw new Error("x_T must be a Float32Array");
  if (x_T.length === 0 || x_T.length !== count * size) {
    throw new Error(`x_T must have ${size} numbers for each of ${count} pictures, got ${x_T.length}`);
  }
  if (!x_T.every(Number.isFinite)) throw new Error("x_T must hold finite numbers only");
}

/** The options of a drawing, complete, or an Error that says which one is wrong. `about` is the network's about.json. */
export function checked(options, about) {
  const size = sizeOf(about.shape), known = ["count", "x_T", ...Object.keys(DEFAULTS)];
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new Error(`draw has no option ${name}: it takes ${known.join(", ")}`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const full = { count: given.x_T ? Math.max(1, Math.floor(given.x_T.length / size)) : 1, ...DEFAULTS, ...given };
  checkWhole("count", full.count, 1, MOST);
  if (full.x_T) checkNoise(full.x_T, full.count, size);
  checkWhole("seed", full.seed, 0, 2 ** 32 - 1);
  checkAmong("sampler", full.sampler, Object.keys(SAMPLERS));
  checkWhole("steps", full.steps, 1, about.T);
  if (!(typeof full.eta === "number" && full.eta >= 0 && full.eta <= 1)) throw new Error(`eta must be a number from 0 to 1, got ${full.eta}`);
  if (typeof full.clip !== "boolean") throw new Error(`clip must be true or false, got ${full.clip}`);
  if (full.mistake !== null) checkAmong("mistake", full.mistake, Object.keys(MISTAKES));
  if (about.classes.length === 0 && full.label !== -1) throw new Error("label: this network knows no classes");
  checkWhole("label", full.label, -1, about.classes.length - 1);
  if (!Number.isFinite(full.scale)) throw new Error(`scale must be a finite number, got ${full.scale}`);
  return full;
}

/** The network whose files are in `folder`: nothing is loaded before `ready` is asked for. `progress(loaded, total)` counts its bytes. */
export function connect(folder, progress = () => {}) {
  let worker, ready, count = 0;
  const running = new Map(); // number of a drawing -> what to do with what is said of it

  function begin() {
    return new Promise((resolve, reject) => {
      worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.onerror = (event) => {
        const error = new Error(event.message || "this browser cannot run the network's worker");
        reject(error);
        for (const drawing of running.values()) drawing.failed(error);
      };
      worker.onmessage = ({ data }) => {
        if (data.kind === "bytes") progress(data.loaded, data.total);
        else if (data.kind === "ready") resolve({ ...data.about, milliseconds: data.milliseconds });
        else if (data.id === undefined) reject(new Error(data.message));
        else running.get(data.id)?.[data.kind](data.kind === "failed" ? new Error(data.message) : data);
      };
      worker.postMessage({ kind: "load", folder: String(folder) });
    });
  }

  const network = {
    /** A promise of the network, with what about.json says of it. Whoever asks first starts the loading. */
    get ready() {
      return (ready ??= begin().catch((error) => {
        worker?.terminate();
        ready = undefined; // whoever asks again may try again
        throw error;
      }));
    },

    /** Draw, and hand every state to `each` as it comes: {k, t, x_t}, after the first also {x_0, noise}. `signal`, an AbortSignal, ends it early. */
    async stream(options, each, signal) {
      const full = checked(options, await network.ready), id = count++;
      const stop = () => worker.postMessage({ kind: "stop", id });
      await new Promise((done, failed) => {
        running.set(id, { state: each, done, failed });
        signal?.addEventListener("abort", stop);
        worker.postMessage({ kind: "draw", id, ...full });
        if (signal?.aborted) stop();
      }).finally(() => {
        running.delete(id);
        signal?.removeEventListener("abort", stop);
      });
    },

    /** Draw. What comes back is said at the head of docs/live.py. */
    async draw(options = {}) {
      const about = await network.ready, { count, steps } = checked(options, about);
      const size = count * sizeOf(about.shape), frames = new Float32Array((steps + 1) * size);
      await network.stream(options, ({ k, x_t }) => frames.set(x_t, k * size));
      return { x_0: frames.slice(-size), frames, times: evenTimes(about.T, steps), shape: [count, ...about.shape] };
    },
  };
  return network;
}
