/** What the waveform shows: how loud both were in the latest slots of time. Pure. */

/** A slot of time. */
export const SLOT_MS = 40;

/** Slots kept: as many as a screen of 5,000 px shows. */
export const SLOTS = 1250;

/** Longer without a note, and nobody looked: it is drawn as silence. */
const BLIND_MS = 400;

/** What a room in which nobody speaks would get of the height. */
const ROOM = 0.08;

/**
 * How much of its height a level gets, 0 to 1.
 *
 * Levels are decibels (audio/level.js), in which all speech looks alike, as in amplitudes all but
 * the loudest is a line. The square root of the amplitude lies between: 60 dB are three decades of
 * it, one and a half of its root.
 *
 * @param {number} level  0 to 1
 */
export function share(level) {
  return Math.max(10 ** (1.5 * (level - 1)) - ROOM, 0) / (1 - ROOM);
}

/** The latest levels of both voices. Time is an argument. */
export class LevelHistory {
  #person = new Float32Array(SLOTS);
  #voice = new Float32Array(SLOTS);
  #slot = -1;
  #notedMs = -Infinity;

  /**
   * Notes how loud both are. The loudest moment of a slot stands for it.
   *
   * @param {number} nowMs  of a clock that does not go back
   * @param {number} person  0 to 1
   * @param {number} voice
   */
  note(nowMs, person, voice) {
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

  /** @param {number} slotsAgo  0: the slot that is not yet over; less than `SLOTS` */
  person(slotsAgo) {
    return this.#person[this.#at(slotsAgo)] ?? 0;
  }

  /** @param {number} slotsAgo */
  voice(slotsAgo) {
    return this.#voice[this.#at(slotsAgo)] ?? 0;
  }

  /** @param {number} slotsAgo */
  #at(slotsAgo) {
    return (this.#slot - slotsAgo + SLOTS) % SLOTS;
  }
}
