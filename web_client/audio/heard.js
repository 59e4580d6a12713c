/**
 * How much of an answer has been heard.
 *
 * The audio thread tells every 20 ms what has left it. That is heard later, by what the browser and
 * the device hold: 10 ms on a good sound card, 200 ms over Bluetooth, where the end of one turn may
 * still be under way when the next has begun. So statuses are kept until they are heard.
 */

/**
 * @typedef {object} Status at some instant
 * @property {number} timeS on the context's clock
 * @property {number} epoch
 * @property {number} turn
 * @property {number} samples of the turn that had left the audio thread, in the turn's rate
 * @property {boolean} sounding
 */

/** @typedef {{ epoch: number, turn: number, samples: number, playing: boolean }} Played */

/** Statuses in the order of their times, and the position between them. */
export class HeardPosition {
  /** The first is the one that is heard, the others are under way. @type {Status[]} */
  #statuses = [{ timeS: 0, epoch: 0, turn: 0, samples: 0, sounding: false }];

  /** @param {Status} status */
  note(status) {
    this.#statuses.push(status);
  }

  /**
   * What is heard at `timeS`, which does not go back.
   * @param {number} timeS
   * @returns {Played}
   */
  at(timeS) {
    let next = this.#statuses[1];
    while (next && next.timeS <= timeS) {
      this.#statuses.shift();
      next = this.#statuses[1];
    }
    const now = /** @type {Status} */ (this.#statuses[0]);
    return {
      epoch: now.epoch,
      turn: now.turn,
      samples: Math.round(now.samples + this.#since(now, next, timeS)),
      playing: now.sounding,
    };
  }

  /**
   * Samples between a status and `timeS`, as far as the next one is of the same turn.
   * @param {Status} now
   * @param {Status | undefined} next
   * @param {number} timeS
   */
  #since(now, next, timeS) {
    if (!next || next.turn !== now.turn || timeS <= now.timeS) return 0;
    const part = (timeS - now.timeS) / (next.timeS - now.timeS);
    return Math.max(0, next.samples - now.samples) * part;
  }
}
