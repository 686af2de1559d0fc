// Random numbers with a seed: the same seed gives the same picture, in every browser.
//
// xoshiro128** (Blackman and Vigna 2018) makes 32 random bits at a time, SplitMix32 its first state from the seed and the number of
// a stream, and the Box-Muller transform two normal numbers of two uniform ones. Every picture of a batch has a stream of its own, so
// the first picture of a seed is the same one however many are drawn beside it.

/** A function that returns the next of a row of well-mixed 32-bit numbers, which begins at `state`. */
function splitMix32(state) {
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let z = state ^ (state >>> 16);
    z = Math.imul(z, 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}

/** A function that returns uniform numbers above 0 and below 1: those of stream `stream` of `seed`. */
export function uniform(seed, stream = 0) {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) throw new Error(`seed must be a whole number from 0 to 4294967295, got ${seed}`);
  const next = splitMix32(splitMix32(seed)() ^ Math.imul(stream + 1, 0x85ebca6b));
  let [a, b, c, d] = [next(), next(), next(), next()];
  return () => {
    const mixed = Math.imul(b, 5);
    const bits = Math.imul((mixed << 7) | (mixed >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return (bits + 0.5) / 2 ** 32;
  };
}

/** A function that returns standard normal numbers. */
export function normal(seed, stream = 0) {
  const next = uniform(seed, stream);
  let kept = null;
  return () => {
    if (kept !== null) {
      const value = kept;
      kept = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(next())), angle = 2 * Math.PI * next();
    kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

/** A function that returns fresh noise for `count` pictures of `size` numbers each: a Float32Array, each picture's from its own stream. */
export function noiseFor(count, size, seed) {
  const streams = Array.from({ length: count }, (_, k) => normal(seed, k));
  return () => Float32Array.from({ length: count * size }, (_, i) => streams[Math.floor(i / size)]());
}
