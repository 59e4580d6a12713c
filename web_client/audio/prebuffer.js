/**
 * How much sound must wait before a turn begins or goes on.
 *
 * It follows what happens, not what might: doubled by each gap inside a turn, a quarter less with
 * each turn that had none. After the worst it takes eight good turns to come back.
 */

/** Two voice frames of jitter: on a good network a turn begins at once. Milliseconds. */
const LEAST_MS = 40;

/** Three doublings. A network that needs more is not one to wait for at each turn's beginning. */
const MOST_MS = 320;

/** An adaptive prebuffer. Pure: it is told of turns and gaps. */
export class Prebuffer {
  #leastMs;
  #mostMs;
  #ranDry = false;

  /** What has to wait now, in milliseconds. */
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

  /** A gap was heard inside a turn. */
  runDry() {
    this.ms = Math.min(this.#mostMs, 2 * this.ms);
    this.#ranDry = true;
  }

  /** A turn begins; the one before it had its chance to run dry. */
  newTurn() {
    if (!this.#ranDry) this.ms = Math.max(this.#leastMs, 0.75 * this.ms);
    this.#ranDry = false;
  }
}
