/**
 * Samples of one rate from samples of another, as they come.
 *
 * Between rates that are L : M in lowest terms, output n lies at n * M / L input samples. Its value
 * is the input through a low-pass, a sinc under a Kaiser window, read at that place. Only L places
 * between two input samples occur, so the filter is a table of L rows of taps.
 *
 * The low-pass keeps out what the lower rate cannot carry: without it a hiss of 10 kHz becomes a
 * tone of 6 kHz at 16 kHz. With 64 samples of the lower rate under the window and a stop band that
 * begins just at its Nyquist frequency, the pass band ends at 0.83 of it: 6.7 kHz of 16 kHz sound,
 * 10 kHz of 24 kHz sound. Delay: half the window, 2 ms and 1.3 ms.
 */

/** Samples of the lower rate on either side of the middle of the window. */
const HALF_WINDOW = 32;

/** What is left in the stop band. */
const STOP_DB = 84;

/** Kaiser's shape for that stop band. */
const BETA = 0.1102 * (STOP_DB - 8.7);

/** Width of the transition, in parts of the lower rate: Kaiser's estimate for this many taps. */
const TRANSITION = (STOP_DB - 8) / (2.285 * 2 * Math.PI * 2 * HALF_WINDOW);

/** The middle of the transition, which ends at half the lower rate. */
const CUTOFF = 0.5 - TRANSITION / 2;

/** A streaming converter of rates. After the constructor it allocates nothing. */
export class Resampler {
  /** By how much sound comes out later than it went in, in seconds. */
  delayS;

  #up;
  #down;
  #taps;
  #table;
  /** The last `taps` samples of earlier calls, then those of this one. */
  #line;
  /** The next output lies `#phase / #up` after input `#at` of the next call, -1 at least. */
  #at = 0;
  #phase = 0;

  /**
   * @param {number} fromHz whole
   * @param {number} toHz whole; the same rate passes sound through untouched
   * @param {number} mostInputs the most samples that one call is given
   */
  constructor(fromHz, toHz, mostInputs) {
    const common = greatestCommonDivisor(fromHz, toHz);
    this.#up = toHz / common;
    this.#down = fromHz / common;
    const same = fromHz === toHz;
    const narrowing = Math.min(1, toHz / fromHz);
    this.#taps = same ? 1 : Math.ceil((2 * HALF_WINDOW) / narrowing);
    this.#table = same ? Float32Array.of(1) : lowPass(this.#up, this.#taps, CUTOFF * narrowing);
    this.#line = new Float32Array(this.#taps + mostInputs);
    this.delayS = same ? 0 : this.#taps / 2 / fromHz;
  }

  /**
   * How many samples `resample` must be given now for this many to come out.
   * @param {number} outputs
   */
  needs(outputs) {
    const last = this.#phase + (outputs - 1) * this.#down;
    return this.#at + Math.floor(last / this.#up) + 1;
  }

  /**
   * Takes the first `count` samples of `input` and writes what they complete to `output`, which
   * must have room for it. Returns how many samples it wrote.
   * @param {Float32Array} input
   * @param {number} count
   * @param {Float32Array} output
   */
  resample(input, count, output) {
    const line = this.#line;
    const taps = this.#taps;
    for (let i = 0; i < count; i++) line[taps + i] = input[i] ?? 0;
    let written = 0;
    while (this.#at < count && written < output.length) {
      output[written++] = this.#output();
      this.#phase += this.#down;
      this.#at += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    this.#at -= count;
    line.copyWithin(0, count, count + taps);
    return written;
  }

  #output() {
    const table = this.#table;
    const line = this.#line;
    const taps = this.#taps;
    const row = this.#phase * taps;
    const from = this.#at + 1;
    let sum = 0;
    for (let i = 0; i < taps; i++) {
      sum += /** @type {number} */ (table[row + i]) * /** @type {number} */ (line[from + i]);
    }
    return sum;
  }
}

/**
 * `rows` times `taps` values, the oldest sample's first; each row lets a constant through as it is.
 * @param {number} rows
 * @param {number} taps
 * @param {number} cutoff in cycles per input sample
 */
function lowPass(rows, taps, cutoff) {
  const table = new Float32Array(rows * taps);
  const row = new Float64Array(taps);
  for (let phase = 0; phase < rows; phase++) {
    for (let i = 0; i < taps; i++) {
      const t = phase / rows + (taps - 1 - i) - taps / 2;
      row[i] = sinc(2 * cutoff * t) * kaiser((2 * t) / taps);
    }
    const sum = row.reduce((total, value) => total + value, 0);
    for (let i = 0; i < taps; i++) table[phase * taps + i] = (row[i] ?? 0) / sum;
  }
  return table;
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** @param {number} x from -1 to 1 */
function kaiser(x) {
  return bessel(BETA * Math.sqrt(Math.max(0, 1 - x * x)));
}

/**
 * The modified Bessel function of the first kind and order 0, by its power series.
 * @param {number} x
 */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-9 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
