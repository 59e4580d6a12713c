/** The levels of both voices in the latest slots of time, which the waveform shows. Pure. */

/** Duration of a slot of time. */
export const SLOT_MS = 40;

/** Number of slots that are kept: as many as a screen of 5,000 px shows. */
export const SLOTS = 1250;

/** Time without a value after which the missing slots are shown as silence. */
const BLIND_MS = 400;

/** Part of the height that the level of a quiet room would have. It is subtracted. */
const ROOM = 0.08;

/**
 * Return the part of the height at which a level is drawn, 0 to 1.
 *
 * Levels are in decibels (audio/level.js), in which all speech looks alike; in amplitudes, all but
 * the loudest speech is a line. The square root of the amplitude lies between them: 60 dB are three
 * decades of the amplitude, and one and a half of its square root.
 *
 * @param {number} level  0 to 1
 */
export function relativeHeight(level) {
  return Math.max(10 ** (1.5 * (level - 1)) - ROOM, 0) / (1 - ROOM);
}

/** The latest levels of both voices, by slots of time. The time is an argument. */
export class LevelHistory {
  #person = new Float32Array(SLOTS);
  #voice = new Float32Array(SLOTS);
  #slot = -1;
  #notedMs = -Infinity;

  /**
   * Record the levels of both voices. A slot has its highest level.
   *
   * @param {number} nowMs  the time of a monotonic clock
   * @param {number} person  the level of the user, 0 to 1
   * @param {number} voice  the level of the model, 0 to 1
   */
  record(nowMs, person, voice) {
    const slot = Math.floor(nowMs / SLOT_MS);
    const seen = nowMs - this.#notedMs <= BLIND_MS;
    for (let missed = Math.max(this.#slot + 1, slot - SLOTS + 1); missed <= slot; missed += 1) {
      this.#person[missed % SLOTS] = seen ? person : 0;
      this.#voice[missed % SLOTS] = seen ? voice : 0;
    }
    this.#slot = slot;
    this.#notedMs = nowMs;
    this.#person[slot % SLOTS] = Math.max(this.person(0), person);
    this.#voice[slot % SLOTS] = Math.max(this.voice(0), voice);
  }

  /**
   * Return the level of the user in a slot.
   *
   * @param {number} slotsAgo  0: the slot that is not over yet; less than `SLOTS`
   */
  person(slotsAgo) {
    return this.#person[this.#at(slotsAgo)] ?? 0;
  }

  /** Return the level of the model in a slot. @param {number} slotsAgo  as for `person` */
  voice(slotsAgo) {
    return this.#voice[this.#at(slotsAgo)] ?? 0;
  }

  /** Return the index of a slot. @param {number} slotsAgo */
  #at(slotsAgo) {
    return (this.#slot - slotsAgo + SLOTS) % SLOTS;
  }
}
