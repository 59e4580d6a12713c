/**
 * The loudness of sound, for meters and waveforms.
 *
 * Every 20 ms of sound become one value. Loudness is perceived in ratios, so the value is in
 * decibels: 0 at -60 dBFS (a quiet room) and below, 1 at full scale; speech is at about 0.6.
 */

/** Duration of the sound of one value. */
export const STEP_MS = 20;

/** Level in dBFS of the value 0. */
const QUIET_DB = -60;

/** Number of values that `level` uses: the last 40 to 60 ms. */
const RECENT = 3;

/** Number of values that are kept: twenty seconds. */
const KEPT = 1024;

/**
 * Return the loudness of sound, 0 to 1.
 *
 * @param {number} meanSquare  the mean square of its samples, which are between -1 and 1
 */
export function loudness(meanSquare) {
  const db = 10 * Math.log10(meanSquare);
  return Math.min(1, Math.max(0, 1 - db / QUIET_DB));
}

/** A ring of the newest loudness values of a stream. */
export class Level {
  #values = new Float32Array(KEPT);
  #next = 0;

  /** Append the loudness of the next 20 ms. @param {number} value  0 to 1 */
  push(value) {
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** Return the highest value of the last 50 ms, 0 to 1. */
  level() {
    let loudest = 0;
    for (let age = 1; age <= RECENT; age++) loudest = Math.max(loudest, this.#value(age));
    return loudest;
  }

  /**
   * Write the newest values, one for each 20 ms, the oldest first. Values of more than 20 s ago
   * are 0.
   *
   * @param {Float32Array} into  the array to fill
   */
  wave(into) {
    for (let i = 0; i < into.length; i++) into[i] = this.#value(into.length - i);
  }

  /** Return a value. @param {number} age  1: the newest */
  #value(age) {
    return age > KEPT ? 0 : (this.#values[(this.#next - age + KEPT) % KEPT] ?? 0);
  }
}
