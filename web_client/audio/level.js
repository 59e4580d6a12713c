/**
 * How loud it is, for meters and waveforms.
 *
 * Every 20 ms of sound become one value. Ears and eyes go by ratios, so the value is in decibels:
 * 0 at -60 dBFS (a quiet room) and below, 1 at full scale; speech lies about 0.6.
 */

/** The sound that one value stands for. */
export const STEP_MS = 20;

const QUIET_DB = -60;

/** Values that `level` looks at: the last 40 to 60 ms. */
const RECENT = 3;

/** Twenty seconds of a waveform. */
const KEPT = 1024;

/**
 * 0 to 1 for a mean square of samples between -1 and 1.
 * @param {number} meanSquare
 */
export function loudness(meanSquare) {
  const db = 10 * Math.log10(meanSquare);
  return Math.min(1, Math.max(0, 1 - db / QUIET_DB));
}

/** The newest values of a stream. */
export class Level {
  #values = new Float32Array(KEPT);
  #next = 0;

  /** @param {number} value 0 to 1, of the next 20 ms */
  push(value) {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** The loudest of the last 50 ms, 0 to 1. */
  level() {
    let loudest = 0;
    for (let age = 1; age <= RECENT; age++) loudest = Math.max(loudest, this.#value(age));
    return loudest;
  }

  /**
   * The newest values, one for 20 ms, oldest first; 0 for what is longer ago than 20 s.
   * @param {Float32Array} into
   */
  wave(into) {
    for (let i = 0; i < into.length; i++) into[i] = this.#value(into.length - i);
  }

  /** @param {number} age 1: the newest */
  #value(age) {
    return age > KEPT ? 0 : (this.#values[(this.#next - age + KEPT) % KEPT] ?? 0);
  }
}
