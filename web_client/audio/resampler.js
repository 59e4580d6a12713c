/**
 * A streaming converter between sample rates: a polyphase FIR filter with a Kaiser-windowed sinc.
 *
 * For an output and an input rate with the ratio L : M in lowest terms, output n is at the position
 * t = n * M / L, in input samples. Its value is the low-pass filtered input at that position:
 *
 *     y[n] = sum over k of x[k] * h(t - k),   h(t) = sinc(2 * fc * t) * w(2 * t / taps)
 *     w(u) = I0(beta * sqrt(1 - u^2)) / I0(beta)          (Kaiser's window)
 *
 *     L     #up                  fc     the cutoff, in cycles per input sample
 *     M     #down                taps   the length of the window, in input samples
 *     beta  BETA                 I0     `bessel`; the constant I0(beta) is left to normalization
 *
 * Only L fractions of t occur, so that h is a table of L rows of taps. Each row is normalized to
 * the sum 1.
 *
 * The low-pass removes what the lower rate cannot represent: without it a hiss of 10 kHz would
 * become a tone of 6 kHz at 16 kHz. The window has 64 samples of the lower rate, and the stop band
 * begins at the Nyquist frequency of that rate. The pass band then ends at 0.83 of it: 6.7 kHz for
 * 16 kHz sound, 10 kHz for 24 kHz sound. The delay is half the window, 2 ms and 1.3 ms.
 */

/** Half the length of the window, in samples of the lower rate. */
const HALF_WINDOW = 32;

/** Attenuation of the stop band, in dB. */
const STOP_DB = 84;

/** Shape of Kaiser's window for that attenuation. */
const BETA = 0.1102 * (STOP_DB - 8.7);

/** Width of the transition band, in parts of the lower rate: Kaiser's estimate for these taps. */
const TRANSITION = (STOP_DB - 8) / (2.285 * 2 * Math.PI * 2 * HALF_WINDOW);

/** Middle of the transition band, which ends at half the lower rate. */
const CUTOFF = 0.5 - TRANSITION / 2;

/** A streaming converter of sample rates. It allocates nothing after its construction. */
export class Resampler {
  /** The delay of the filter, in seconds. */
  delayS;

  #up;
  #down;
  #taps;
  #table;
  /** The last `taps` samples of earlier calls, then those of this one. */
  #line;
  /**
   * The next output is at `#at + #phase / #up` input samples of the next call. `#at` is at least
   * -1.
   */
  #at = 0;
  #phase = 0;

  /**
   * @param {number} fromHz  the input rate, a whole number
   * @param {number} toHz  the output rate, a whole number; with equal rates sound is not changed
   * @param {number} mostInputs  the maximum number of samples in one call
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
   * Return the number of samples that `resample` needs now to write `outputs` samples.
   *
   * @param {number} outputs
   */
  needs(outputs) {
    const last = this.#phase + (outputs - 1) * this.#down;
    return this.#at + Math.floor(last / this.#up) + 1;
  }

  /**
   * Convert samples.
   *
   * @param {Float32Array} input
   * @param {number} count  the number of samples of `input` to use
   * @param {Float32Array} output  the array to write to, which must be long enough
   * @returns the number of samples that were written
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

  /** Return the next output sample. */
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
 * Return the table of the filter: `rows` times `taps` values, the oldest sample's first. The sum of
 * each row is 1, so that a constant is not changed.
 *
 * @param {number} rows
 * @param {number} taps
 * @param {number} cutoff  in cycles per input sample
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

/** Return sin(pi * x) / (pi * x). @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Return Kaiser's window without its constant factor. @param {number} x  -1 to 1 */
function kaiser(x) {
  return bessel(BETA * Math.sqrt(Math.max(0, 1 - x * x)));
}

/**
 * Return the modified Bessel function of the first kind and order 0, by its power series.
 *
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
 * Return the greatest common divisor, by Euclid's algorithm.
 *
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
