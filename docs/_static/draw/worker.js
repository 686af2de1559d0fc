// The network's own thread: it loads ONNX Runtime and the model, then draws, one drawing at a time. draw.js talks to it, through client.js.

import { sizeOf } from "./client.js";
import { noiseFor } from "./random.js";
import { drawing, guided } from "./samplers.js";

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
  await ask(new Float32Array(sizeOf(about.shape)), about.T, -1); // the first answer takes longer
  postMessage({ kind: "ready", about, milliseconds: performance.now() - start });
}

/** The network's noise in the pictures x_t at time t, told a class's number or -1, "no class", where it knows classes. */
async function ask(x_t, t, label) {
  const count = x_t.length / sizeOf(about.shape);
  const feeds = { x_t: new ort.Tensor("float32", x_t, [count, ...about.shape]), t: new ort.Tensor("float32", new Float32Array(count).fill(t), [count]) };
  if (about.classes.length) feeds.labels = new ort.Tensor("int64", new BigInt64Array(count).fill(BigInt(label)), [count]);
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

async function draw({ id, count, seed, x_T, label, scale, ...options }) {
  try {
    const fresh = noiseFor(count, sizeOf(about.shape), seed);
    const first = fresh(); // drawn even where x_T is given, so that the noise of the steps is the same
    const [schedule, other] = [about.alphaBars, about.otherAlphaBars].map((alphaBars) => ({ T: about.T, alphaBars }));
    const model = guided(ask, label, scale);
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
