/**
 * The position up to which an answer has been heard.
 *
 * The audio thread reports every 20 ms what it has passed on. That is heard later, by the latency
 * of the browser and the device: 10 ms on a good sound card, 200 ms over Bluetooth, where the end
 * of one turn may not have been heard when the next has begun. Reports are therefore kept until
 * their sound is heard.
 */

/**
 * A report of the audio thread.
 *
 * @typedef {object} Status
 * @property {number} timeS  the time, on the clock of the context, in seconds
 * @property {number} epoch
 * @property {number} turn
 * @property {number} samples  samples of the turn that were passed on, in the rate of the turn
 * @property {boolean} sounding  whether a turn is playing, rather than silence
 */

/**
 * The position that was heard, and whether a turn is playing.
 *
 * @typedef {{ epoch: number, turn: number, samples: number, playing: boolean }} Played
 */

/** A queue of reports in the order of their times, which interpolates between them. */
export class HeardPosition {
  /** The first has been heard, the others have not been yet. @type {Status[]} */
  #statuses = [{ timeS: 0, epoch: 0, turn: 0, samples: 0, sounding: false }];

  /** Append a report. @param {Status} status */
  record(status) {
    this.#statuses.push(status);
  }

  /**
   * Return the position that is heard at a time.
   *
   * @param {number} timeS  on the clock of the context; not before that of the last call
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
   * Return the samples from a report to `timeS`, if the next report is of the same turn.
   *
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
