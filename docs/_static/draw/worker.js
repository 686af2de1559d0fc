// The network's own thread: it loads ONNX Runtime and the model, then draws, one drawing at a time. draw.js talks to it, through client.js.

import { sizeOf } from "./client.js";
import { noiseFor } from "./random.js";
import { drawing } from "./samplers.js";

let ort, session, about;
let waiting = Promise.resolve(); // the drawings, one after the other
const stopped = new Set();

/** The answer of the server, which may be in the cache but not older than the server's own. */
async function asked(address) {
  const response = await fetch(address, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${address} could not be loaded (${response.status})`);
  return response;
}

/** A file of known size, with a word after every piece of it. */
async function fetched(address, size, arrived) {
  const response = await asked(address);
  const bytes = new Uint8Array(size), reader = response.body.getReader();
  let place = 0;
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    if (place + piece.value.length > size) throw new Error(`${address} is longer than the ${size} bytes it should have`);
    bytes.set(piece.value, place);
    place += piece.value.length;
    arrived(piece.value.length);
  }
  if (place !== size) throw new Error(`${address} broke off after ${place} of ${size} bytes`);
  return bytes;
}

/** What an error says: the runtime also throws numbers. */
const words = (error) => String(error?.message ?? error);

async function load(folder) {
  if (typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly");
  about = await (await asked(new URL("about.json", folder))).json();
  const { files } = about, total = files.runtime.bytes + files.model.bytes;
  let loaded = 0;
  const arrived = (bytes) => postMessage({ kind: "bytes", loaded: (loaded += bytes), total });
  const [runtime, model, library] = await Promise.all([
    fetched(new URL(files.runtime.name, folder), files.runtime.bytes, arrived),
    fetched(new URL(files.model.name, folder), files.model.bytes, arrived),
    import(new URL(files.library.name, folder)),
  ]);
  const start = performance.now();
  ort = library;
  ort.env.wasm.wasmBinary = runtime.buffer;
  ort.env.wasm.numThreads = 1;
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  await ask(new Float32Array(sizeOf(about.shape)), about.T, {}); // the first answer takes longer
  postMessage({ kind: "ready", about, milliseconds: performance.now() - start });
}

/** The input `name` of the network: one number for each picture, in the type that the network wants. */
function column(name, values) {
  const { type } = session.inputMetadata.find((input) => input.name === name) ?? {};
  if (!type) throw new Error(`inputs: the network takes ${session.inputNames.join(", ")}, and no ${name}`);
  return new ort.Tensor(type, type === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values), [values.length]);
}

/** The network's noise in the pictures x_t at time t; `inputs` are what else it takes, by name. */
async function ask(x_t, t, inputs) {
  const count = x_t.length / sizeOf(about.shape);
  const feeds = { x_t: new ort.Tensor("float32", x_t, [count, ...about.shape]), t: column("t", Array(count).fill(t)) };
  for (const [name, values] of Object.entries(inputs)) feeds[name] = column(name, values);
  const answer = (await session.run(feeds))[session.outputNames[0]];
  const noise = Float32Array.from(answer.data);
  answer.dispose();
  return noise;
}

/** Lets the messages in that have come meanwhile: a wish to stop. */
function breathe() {
  return new Promise((go) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), go());
    port2.postMessage(null);
  });
}

async function draw({ id, count, seed, x_T, inputs, ...options }) {
  try {
    const fresh = noiseFor(count, sizeOf(about.shape), seed);
    const first = fresh(); // drawn even where x_T is given, so that the noise of the steps is the same
    const [schedule, other] = [about.alphaBars, about.otherAlphaBars].map((alphaBars) => ({ T: about.T, alphaBars }));
    const model = (x_t, t) => ask(x_t, t, inputs);
    for await (const state of drawing({ model, schedule, other, fresh, x_T: x_T ?? first, ...options })) {
      postMessage({ kind: "state", id, ...state });
      await breathe();
      if (stopped.has(id)) break;
    }
    postMessage({ kind: "done", id, stopped: stopped.delete(id) });
  } catch (error) {
    postMessage({ kind: "failed", id, message: words(error) });
  }
}

onmessage = ({ data: { kind, ...rest } }) => {
  if (kind === "load") load(rest.folder).catch((error) => postMessage({ kind: "failed", message: words(error) }));
  if (kind === "draw") waiting = waiting.then(() => draw(rest));
  if (kind === "stop") stopped.add(rest.id);
};
