// The samplers of the page that draws, beside what ddpm_lib computed: test_draw.py writes the cases and runs this with node.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { noiseFor, normal, uniform } from "../../docs/_static/draw/random.js";
import { MISTAKES, SAMPLERS, drawing, evenTimes, guided } from "../../docs/_static/draw/samplers.js";
import { checked } from "../../docs/_static/draw/client.js";

const cases = JSON.parse(readFileSync(process.env.DDPM_CASES));
const schedule = { T: cases.T, alphaBars: cases.alphaBars }, other = { T: cases.T, alphaBars: cases.otherAlphaBars };
const model = async (x_t, t) => x_t.map((x) => cases.slope * x + t / cases.T / 10); // as in test_draw.py
const x_T = Float32Array.from(cases.x_T);

async function arrive(options) {
  const states = [];
  const usual = { model, schedule, other, sampler: "ddim", steps: 5, eta: 0, clip: true, fresh: noiseFor(1, x_T.length, 0), x_T, mistake: null };
  for await (const state of drawing({ ...usual, ...options })) states.push(state);
  return states;
}

function near(found, wanted, tolerance, what) {
  assert.equal(found.length, wanted.length, what);
  const worst = Math.max(...wanted.map((value, i) => Math.abs(found[i] - value)));
  assert.ok(worst <= tolerance, `${what}: ${worst} apart`);
}

test("the times are those of even_times, halves and all", () => {
  for (const [steps, times] of Object.entries(cases.times)) assert.deepEqual(evenTimes(cases.T, Number(steps)), times);
});

for (const { sampler, steps, clip, x_0 } of cases.walks) {
  test(`${sampler} in ${steps} steps, ${clip ? "clipped" : "unclipped"}, arrives where ddpm_lib does`, async () => {
    near((await arrive({ sampler, steps, clip })).at(-1).x_t, x_0, 1e-4, sampler);
  });
}

for (const { sampler, eta, t, s, noise, x_s } of cases.steps) {
  test(`one step of ${sampler} from ${t} to ${s}, with the same fresh noise`, async () => {
    const step = SAMPLERS[sampler](model, schedule, { clip: true, eta, fresh: () => Float32Array.from(noise) });
    near((await step(x_T, t, s)).x_s, x_s, 1e-5, sampler);
  });
}

test("normal numbers have the moments of a normal distribution", () => {
  const n = 200_000, draw = normal(5), values = Float64Array.from({ length: n }, () => draw());
  const moment = (k) => values.reduce((sum, z) => sum + z ** k, 0) / n;
  for (const [k, wanted, variance] of [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]]) {
    assert.ok(Math.abs(moment(k) - wanted) < 5 * Math.sqrt(variance / n), `moment ${k} is ${moment(k)}`); // five standard errors
  }
  const inside = values.filter((z) => Math.abs(z) < 1).length / n;
  assert.ok(Math.abs(inside - 0.6827) < 0.006);
  const pairs = values.slice(1).reduce((sum, z, i) => sum + z * values[i], 0) / n;
  assert.ok(Math.abs(pairs) < 5 / Math.sqrt(n), `neighbours go together: ${pairs}`);
});

test("uniform numbers are spread evenly, and neither 0 nor 1", () => {
  const draw = uniform(0), counts = new Array(16).fill(0);
  for (let i = 0; i < 160_000; i++) {
    const u = draw();
    assert.ok(u > 0 && u < 1);
    counts[Math.floor(16 * u)]++;
  }
  const chi2 = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  assert.ok(chi2 < 40, `chi-square ${chi2} with 15 degrees of freedom`);
});

test("a seed gives its pictures again, another seed or another picture gives others", () => {
  const size = 784, [one, again, three, other] = [noiseFor(1, size, 7)(), noiseFor(1, size, 7)(), noiseFor(3, size, 7)(), noiseFor(1, size, 8)()];
  assert.deepEqual(one, again);
  assert.deepEqual(three.slice(0, size), one); // however many are drawn beside it
  const together = (a, b) => a.reduce((sum, z, i) => sum + z * b[i], 0) / size;
  for (const stranger of [other, three.slice(size, 2 * size)]) assert.ok(Math.abs(together(one, stranger)) < 5 / Math.sqrt(size));
  assert.throws(() => uniform(-1), /seed must be a whole number from 0 to 4294967295, got -1/);
});

/** One step of a sampler from 300 to 250, with fresh noise that is one everywhere. */
async function stepped(sampler, options = {}) {
  const step = SAMPLERS[sampler](model, schedule, { clip: true, eta: 1, fresh: () => new Float32Array(x_T.length).fill(1), ...options });
  return (await step(x_T, 300, 250)).x_s;
}

for (const sampler of ["ancestral", "ddim"]) {
  test(`${sampler}: with no noise a step ends at its mean, with beta for its root the noise is squared`, async () => {
    const mistaken = (name) => MISTAKES[name]({ options: {} }).options;
    const healthy = await stepped(sampler), mean = await stepped(sampler, { fresh: () => new Float32Array(x_T.length) });
    near(await stepped(sampler, mistaken("no_noise")), mean, 1e-6, "no noise");
    const sigma = healthy[0] - mean[0];
    near(await stepped(sampler, mistaken("beta_for_root")), mean.map((m) => m + sigma ** 2), 1e-5, "beta for its root");
    assert.ok(sigma > 0.1 && sigma < 0.9, `a sigma of ${sigma} is far from its square`);
  });
}

for (const sampler of Object.keys(SAMPLERS)) {
  test(`${sampler}: the other mistakes are the sampler with one thing exchanged`, async () => {
    const options = { sampler, steps: 5, eta: 1 }, fresh = () => noiseFor(1, x_T.length, 3);
    const end = async (more) => (await arrive({ ...options, fresh: fresh(), ...more })).at(-1).x_t;
    assert.deepEqual(await end({ mistake: "no_clipping" }), await end({ clip: false }));
    assert.deepEqual(await end({ mistake: "wrong_schedule" }), await end({ schedule: other }));
    const told = [];
    await end({ mistake: "time_off_by_one", model: (x_t, t) => (told.push(t), model(x_t, t)) });
    assert.deepEqual(told, [...evenTimes(cases.T, 5).slice(1, -1), 1]);
    for (const mistake of ["no_clipping", "wrong_schedule", "time_off_by_one"]) assert.notDeepEqual(await end({ mistake }), await end({}), mistake);
  });
}

test("the first state is x_T, before the network was asked", async () => {
  let asked = 0;
  const walk = drawing({ model: (...told) => (asked++, model(...told)), schedule, other, sampler: "ddim", steps: 4, eta: 0, clip: true, x_T, mistake: null });
  const { value } = await walk.next();
  assert.deepEqual([value.k, value.t, value.x_t, asked], [0, cases.T, x_T, 0]);
});

test("a guided model answers what Guided of ddpm_lib does, and asks twice only where it must", async () => {
  for (const { label, scale, noise, calls } of cases.guided) {
    let asked = 0;
    const told = async (x, t, label) => (asked++, x.map((value) => cases.slope * value + t / cases.T / 10 + label));
    near(await guided(told, label, scale)(x_T, 300), noise, 1e-5, `label ${label}, scale ${scale}`);
    assert.equal(asked, calls);
  }
});

test("bad options get a sentence that names them", () => {
  const about = { T: 1000, shape: [1, 28, 28], classes: ["bag", "boot"] };
  for (const [options, says] of [
    [{ count: 0 }, /^count must be a whole number from 1 to 16, got 0$/],
    [{ count: 2.5 }, /^count must/],
    [{ seed: -1 }, /^seed must/],
    [{ sampler: "euler" }, /^sampler must be "ancestral" or "ddim" or "dpm_solver", got "euler"$/],
    [{ steps: 1001 }, /^steps must be a whole number from 1 to 1000, got 1001$/],
    [{ eta: 2 }, /^eta must be a number from 0 to 1, got 2$/],
    [{ clip: 1 }, /^clip must be true or false, got 1$/],
    [{ mistake: "all" }, /^mistake must/],
    [{ label: 2 }, /^label must be a whole number from -1 to 1, got 2$/],
    [{ label: 0, scale: NaN }, /^scale must be a finite number, got NaN$/],
    [{ x_T: [1, 2] }, /^x_T must be a Float32Array$/],
    [{ x_T: new Float32Array(10) }, /^x_T must have 784 numbers for each of 1 pictures, got 10$/],
    [{ x_T: new Float32Array(784).fill(NaN) }, /^x_T must hold finite numbers only$/],
    [{ step: 3 }, /^draw has no option step: it takes count, x_T, seed/],
  ]) assert.throws(() => checked(options, about), (error) => error instanceof Error && says.test(error.message), JSON.stringify(options));
  assert.equal(checked({ x_T: new Float32Array(2 * 784) }, about).count, 2);
  assert.throws(() => checked({ label: 1 }, { ...about, classes: [] }), /^Error: label: this network knows no classes$/);
});
