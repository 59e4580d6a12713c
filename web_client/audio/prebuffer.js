/**
 * The amount of sound that must wait before a turn begins, or continues after a gap.
 *
 * It adapts to the gaps that were heard: each gap inside a turn doubles it, and each turn without a
 * gap reduces it by a quarter. After the maximum, eight turns without a gap lead back to the
 * minimum.
 */

/** Minimum, in ms: the jitter of two voice frames. On a good network a turn begins at once. */
const LEAST_MS = 40;

/** Maximum, in ms: three doublings. More would delay the beginning of every turn too much. */
const MOST_MS = 320;

/** An adaptive prebuffer. Pure. */
export class Prebuffer {
  #leastMs;
  #mostMs;
  #ranDry = false;

  /** The amount of sound that must wait now, in milliseconds. */
  ms;

  /**
   * @param {number} leastMs
   * @param {number} mostMs
   */
  constructor(leastMs = LEAST_MS, mostMs = MOST_MS) {
    this.ms = leastMs;
    this.#leastMs = leastMs;
    this.#mostMs = mostMs;
  }

  /** Record that a gap was heard inside a turn. */
  runDry() {
    this.ms = Math.min(this.#mostMs, 2 * this.ms);
    this.#ranDry = true;
  }

  /** Record that a turn begins, and whether the one before it had no gap. */
  newTurn() {
    if (!this.#ranDry) this.ms = Math.max(this.#leastMs, 0.75 * this.ms);
    this.#ranDry = false;
  }
}
