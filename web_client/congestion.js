/** A judgement of whether a network takes the user's sound in time. Pure. */

import { BURST_MS, BURST_S, CONGESTED_S } from './link-limits.js';

/** The congestion of a socket. */
export class Congestion {
  /** Last time at which little waited in the socket. */
  #emptyMs = -Infinity;

  /**
   * Return whether sound has to be dropped, because it would be too late.
   *
   * @param {number} unsentS  sound that waits in the socket, in seconds
   * @param {number} nowMs
   */
  drops(unsentS, nowMs) {
    if (unsentS <= CONGESTED_S) this.#emptyMs = nowMs;
    return unsentS > CONGESTED_S && (nowMs - this.#emptyMs >= BURST_MS || unsentS > BURST_S);
  }
}
