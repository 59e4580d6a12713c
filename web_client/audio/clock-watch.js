/**
 * Detection of sound that stands still, and of a page that was asleep. Pure.
 *
 * A browser stops the clock of an `AudioContext` without telling the page: when the device is gone,
 * when another program has taken it, and on a phone for a call. A machine or a tab that is put to
 * sleep runs no timers, so that two checks are far apart and the clock of the sound has hardly
 * advanced between them.
 */

/** Interval at which `check` is called, in milliseconds. */
export const CHECK_MS = 1000;

/** Time for which the clock must stand still before that is reported, in milliseconds. */
const STALLED_MS = 2500;

/** Time between two checks from which on the page may have been asleep, in milliseconds. Browsers
 * delay the timers of hidden pages by a few seconds. */
const ASLEEP_MS = 10_000;

/** The result of a check. `sleptS`: the time, in seconds, for which the page has just been asleep;
 * 0 if it was not. @typedef {{ stalled: boolean, sleptS: number }} Findings */

/** A watch over the clock of the sound. */
export class ClockWatch {
  #checkedMs = -Infinity;
  #clockS = 0;
  /** Time at which the clock was seen to advance. */
  #advancedMs = 0;

  /**
   * Compare the clock of the sound with the time of day.
   *
   * @param {number} nowMs  the time of day in milliseconds. Monotonic clocks stop in sleep
   * @param {number} clockS  the clock of the sound, in seconds
   * @returns {Findings}
   */
  check(nowMs, clockS) {
    const passedMs = nowMs - this.#checkedMs;
    const advancedMs = 1000 * (clockS - this.#clockS);
    const isFirst = passedMs === Infinity || advancedMs < 0; // another context begins at 0
    const slept = !isFirst && passedMs >= ASLEEP_MS && advancedMs < passedMs / 2;
    if (isFirst || advancedMs > 0 || slept) this.#advancedMs = nowMs;
    this.#checkedMs = nowMs;
    this.#clockS = clockS;
    return {
      stalled: nowMs - this.#advancedMs >= STALLED_MS,
      sleptS: slept ? Math.round(passedMs / 1000) : 0,
    };
  }
}
