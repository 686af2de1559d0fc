// The three samplers of ddpm_lib. Each is a step: from x_t at time t to x_s at an earlier time s.
//
// A picture is a row of numbers, a batch is one Float32Array. `model(x_t, t)` gives a promise of the noise. A schedule is {T, alphaBars}: the
// numbers that ddpm_lib's NoiseSchedule computed, alphaBars[0] = 1. A step returns {x_s, x_0, noise}: where it arrives, and what the
// network made of x_t.

/** Both arrays, number by number. */
const combine = (a, b, how) => a.map((value, i) => how(value, b[i]));

/** `steps` even steps from T down to 0: steps + 1 whole numbers. Halves are rounded to the even neighbour, as Python does. */
export function evenTimes(T, steps) {
  return Array.from({ length: steps + 1 }, (_, k) => {
    const time = (T * (steps - k)) / steps, below = Math.floor(time);
    return time - below === 0.5 ? below + (below % 2) : Math.round(time);
  });
}

/** The network's noise in x_t and the x_0 it implies (Eq. 4). With `clip`, x_0 is kept in [-1, 1] and `kept`, the noise, goes with it. */
export async function predict(model, x_t, t, schedule, clip) {
  const signal = Math.sqrt(schedule.alphaBars[t]), spread = Math.sqrt(1 - schedule.alphaBars[t]);
  const noise = await model(x_t, t);
  let x_0 = combine(x_t, noise, (x, e) => (x - spread * e) / signal);
  if (!clip) return { x_0, noise, kept: noise };
  x_0 = x_0.map((x) => Math.min(1, Math.max(-1, x)));
  return { x_0, noise, kept: combine(x_t, x_0, (x, clean) => (x - signal * clean) / spread) };
}

/** Guided towards a class, again a model (ddpm_lib's Guided): `model(x_t, t, label)` is asked with the label, and with -1, "no class". */
export function guided(model, label, scale) {
  return async (x_t, t) => {
    const told = await model(x_t, t, label);
    return label < 0 || scale === 1 ? told : combine(await model(x_t, t, -1), told, (none, some) => none + scale * (some - none));
  };
}

/** Algorithm 2 with beta_tilde, for any s < t. `deviation` says what noise of a variance is multiplied by: its root. */
export function ancestral(model, schedule, { clip, fresh, deviation = Math.sqrt }) {
  return async (x_t, t, s) => {
    const { x_0, noise } = await predict(model, x_t, t, schedule, clip);
    const before = schedule.alphaBars[s], now = schedule.alphaBars[t];
    const alpha = now / before, beta = 1 - alpha;
    const towards = (Math.sqrt(before) * beta) / (1 - now), stay = (Math.sqrt(alpha) * (1 - before)) / (1 - now);
    const sigma = deviation(((1 - before) / (1 - now)) * beta);
    const mean = combine(x_0, x_t, (clean, x) => towards * clean + stay * x);
    return { x_s: sigma > 0 ? combine(mean, fresh(), (m, z) => m + sigma * z) : mean, x_0, noise };
  };
}

/** DDIM: `eta` 0 adds no noise, 1 as much as Algorithm 2. */
export function ddim(model, schedule, { clip, fresh, eta = 0, deviation = Math.sqrt }) {
  return async (x_t, t, s) => {
    const { x_0, noise, kept } = await predict(model, x_t, t, schedule, clip);
    const before = schedule.alphaBars[s], now = schedule.alphaBars[t];
    const variance = eta ** 2 * ((1 - before) / (1 - now)) * (1 - now / before);
    const signal = Math.sqrt(before), spread = Math.sqrt(Math.max(0, 1 - before - variance)), sigma = deviation(variance);
    const mean = combine(x_0, kept, (clean, e) => signal * clean + spread * e);
    return { x_s: sigma > 0 ? combine(mean, fresh(), (m, z) => m + sigma * z) : mean, x_0, noise };
  };
}

/** DPM-Solver++ (2M): the step bends by how much its prediction moved since the step before. One of these for each walk. */
export function dpmSolver(model, schedule, { clip }) {
  const half = (t) => Math.log(schedule.alphaBars[t] / (1 - schedule.alphaBars[t])) / 2; // half the log-SNR
  let r = null, earlier = null;
  return async (x_t, t, s) => {
    const { x_0, noise } = await predict(model, x_t, t, schedule, clip);
    const reach = earlier && s > 0 ? (half(s) - half(t)) / (2 * (half(t) - half(r))) : 0;
    const target = reach ? combine(x_0, earlier, (now, then) => now + reach * (now - then)) : x_0;
    const spread = (time) => Math.sqrt(1 - schedule.alphaBars[time]), signal = (time) => Math.sqrt(schedule.alphaBars[time]);
    const shrink = spread(s) / spread(t), weight = signal(s) - shrink * signal(t);
    [r, earlier] = [t, x_0];
    return { x_s: combine(x_t, target, (x, clean) => shrink * x + weight * clean), x_0, noise };
  };
}

export const SAMPLERS = { ancestral, ddim, dpm_solver: dpmSolver };

/** From x_T along `times`: yields {k, t, x_t} for x_T itself, then after each step also what the network made of the state before. */
export async function* walk(step, x_T, times) {
  let x_t = x_T;
  yield { k: 0, t: times[0], x_t };
  for (let k = 1; k < times.length; k++) {
    const { x_s, x_0, noise } = await step(x_t, times[k - 1], times[k]);
    x_t = x_s;
    yield { k, t: times[k], x_t, x_0, noise };
  }
}

// What can be broken. Each takes what a sampler is made of, {model, schedule, other, times, options}, and returns it with one mistake.
export const MISTAKES = {
  no_noise: (parts) => ({ ...parts, options: { ...parts.options, deviation: () => 0 } }),
  beta_for_root: (parts) => ({ ...parts, options: { ...parts.options, deviation: (variance) => variance } }),
  no_clipping: (parts) => ({ ...parts, options: { ...parts.options, clip: false } }),
  time_off_by_one: (parts) => {
    const next = new Map(parts.times.map((t, k) => [t, Math.max(1, parts.times[k + 1])])); // the time of the state after
    return { ...parts, model: (x_t, t) => parts.model(x_t, next.get(t)) };
  },
  wrong_schedule: (parts) => ({ ...parts, schedule: parts.other }),
};

/** The walk that a drawing is: `other` is the schedule the network was not trained with, `mistake` one of MISTAKES or null. */
export function drawing({ model, schedule, other, sampler, steps, eta, clip, fresh, x_T, mistake }) {
  const whole = { model, schedule, other, times: evenTimes(schedule.T, steps), options: { clip, eta, fresh } };
  const parts = mistake ? MISTAKES[mistake](whole) : whole;
  return walk(SAMPLERS[sampler](parts.model, parts.schedule, parts.options), x_T, parts.times);
}
