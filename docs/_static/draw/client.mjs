// What a page, or the console, says to the network: `ready` loads it, `draw` draws. The network itself is in worker.mjs.

import { MISTAKES, SAMPLERS, evenTimes } from "./samplers.mjs";

export const MOST = 16; // pictures at a time

const DEFAULTS = { seed: 0, sampler: "dpm_solver", steps: 20, eta: 0, clip: true, mistake: null, inputs: {} };

function whole(name, value, lowest, highest) {
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw new Error(`${name} must be a whole number from ${lowest} to ${highest}, got ${value}`);
  }
}

function among(name, value, names) {
  if (!names.includes(value)) throw new Error(`${name} must be ${names.map((one) => `"${one}"`).join(" or ")}, got ${JSON.stringify(value)}`);
}

/** The options of a drawing, complete, or an Error that says which one is wrong. `about` is the network's about.json. */
export function checked(options, about) {
  const size = about.shape.reduce((a, b) => a * b), known = ["count", "x_T", ...Object.keys(DEFAULTS)];
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new Error(`draw has no option ${name}: it takes ${known.join(", ")}`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const full = { count: given.x_T ? given.x_T.length / size : 1, ...DEFAULTS, ...given };
  if (full.x_T) {
    if (!(full.x_T instanceof Float32Array)) throw new Error("x_T must be a Float32Array");
    if (full.x_T.length !== full.count * size) {
      throw new Error(`x_T must have ${size} numbers for each of ${full.count} pictures, got ${full.x_T.length}`);
    }
    if (!full.x_T.every(Number.isFinite)) throw new Error("x_T must hold finite numbers only");
  }
  whole("count", full.count, 1, MOST);
  whole("seed", full.seed, 0, 2 ** 32 - 1);
  among("sampler", full.sampler, Object.keys(SAMPLERS));
  whole("steps", full.steps, 1, about.T);
  if (!(typeof full.eta === "number" && full.eta >= 0 && full.eta <= 1)) throw new Error(`eta must be a number from 0 to 1, got ${full.eta}`);
  if (typeof full.clip !== "boolean") throw new Error(`clip must be true or false, got ${full.clip}`);
  if (full.mistake !== null) among("mistake", full.mistake, Object.keys(MISTAKES));
  return full;
}

/** The network whose files are in `folder`: nothing is loaded before `ready` is asked for. `progress(loaded, total)` counts its bytes. */
export function connect(folder, progress = () => {}) {
  let worker, ready, count = 0;
  const running = new Map(); // number of a drawing -> what to do with what is said of it

  function begin() {
    return new Promise((resolve, reject) => {
      worker = new Worker(new URL("./worker.mjs", import.meta.url), { type: "module" });
      worker.onerror = (event) => {
        const error = new Error(event.message || "this browser cannot run the network's worker");
        reject(error);
        for (const drawing of running.values()) drawing.failed(error);
      };
      worker.onmessage = ({ data }) => {
        if (data.kind === "bytes") progress(data.loaded, data.total);
        else if (data.kind === "ready") resolve({ ...data.about, milliseconds: data.milliseconds });
        else if (data.id === undefined) reject(new Error(data.message));
        else running.get(data.id)[data.kind](data.kind === "failed" ? new Error(data.message) : data);
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

    /** Draw. `each(state)` sees every state as it comes; `signal`, an AbortSignal, ends it early. See docs/live.py for what comes back. */
    async draw(options = {}, { each = () => {}, signal } = {}) {
      const about = await network.ready;
      const full = checked(options, about);
      const times = evenTimes(about.T, full.steps), size = full.count * about.shape.reduce((a, b) => a * b);
      const frames = new Float32Array(times.length * size), id = count++;
      let seen = 0;
      await new Promise((done, failed) => {
        const state = (said) => {
          frames.set(said.x_t, said.k * size);
          seen = said.k + 1;
          each(said);
        };
        running.set(id, { state, done, failed });
        const stop = () => worker.postMessage({ kind: "stop", id });
        if (signal?.aborted) stop();
        signal?.addEventListener("abort", stop, { once: true });
        worker.postMessage({ kind: "draw", id, ...full });
      }).finally(() => running.delete(id));
      const kept = frames.subarray(0, seen * size); // all of them, unless it was stopped
      return { x_0: kept.slice(-size), frames: kept, times: times.slice(0, seen), shape: [full.count, ...about.shape] };
    },
  };
  return network;
}
