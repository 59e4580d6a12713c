/**
 * What waits to be heard: a ring of samples, pulled at the pace of the loudspeaker.
 *
 * An answer comes faster than it is spoken, so seconds of it wait here. The ring gives them out,
 * forgets them at once at a flush, and knows how much of which turn has gone out.
 *
 * The samples lie in stretches: runs of one turn without a hole. A frame that goes on where the
 * newest stretch ends becomes part of it; another turn, or a `start` that jumped, begins another.
 *
 * Sound that stops or starts between two samples is a click. One rule keeps all of them away, at a
 * gap, a hole, a flush or an end: the level falls to 0 over the last 4 ms of what is there, and
 * rises again when more comes. Only a turn's very beginning is at full level from its first sample.
 * A flush cuts the ring down to what the fall needs.
 */

import { Prebuffer } from './prebuffer.js';

/** The server sends 5 s and a frame ahead; the rest is for what was under way. */
const CAPACITY_S = 8;

/** With 1.3 ms in the resampler behind it, sound is gone within 6 ms of the flush's quantum. */
const FADE_MS = 4;

/** Stretches that may wait at once; more are of no use and are dropped. */
const MOST_STRETCHES = 64;

/** No turn has this number. */
const NONE = -1;

/**
 * @typedef {{ epoch: number, turn: number, start: number, samples: Int16Array }} Frame
 *   `start`: samples of the turn before this frame.
 */

/**
 * Whether `epoch` is older than `than`. They are counted modulo 65,536: half of them are older.
 * @param {number} epoch
 * @param {number} than
 */
export function isOlder(epoch, than) {
  return ((epoch - than) & 0xffff) >= 0x8000;
}

/** The ring. After the constructor it allocates nothing. Belongs to one thread. */
export class PlayoutRing {
  /** Of the sample that went out last. */
  epoch = 0;
  /** Of the sample that went out last; 0: none has. */
  turn = 0;
  /** Samples of `turn` up to and with the one that went out last. */
  samples = 0;
  /** Whether the newest sample that went out was of a turn, and no silence. */
  sounding = false;
  /** Gaps heard inside a turn. */
  underruns = 0;
  /** Samples refused for want of room. */
  dropped = 0;

  #rateHz;
  #prebuffer;
  #ring;
  #shape;

  // Of the stretches, the oldest first, in a ring too; `begin` counts like #read and #written.
  #turns = new Float64Array(MOST_STRETCHES);
  #starts = new Float64Array(MOST_STRETCHES);
  #begins = new Float64Array(MOST_STRETCHES);
  #first = 0;
  #stretches = 0;

  // Samples ever taken and given out; places in the ring are modulo its length.
  #written = 0;
  #read = 0;

  /** @type {number | null} of frames that may sound; before the first one: null */
  #current = null;
  /** Of the full level, from 0 to #shape.length - 1. */
  #level = 0;
  /** Where the remains of a flush end. */
  #cut = NONE;
  /** The turn after which silence began for want of samples. */
  #dry = NONE;
  /** Samples of silence that went out while a turn had to wait. */
  #held = 0;

  /**
   * @param {number} rateHz of the samples
   * @param {Prebuffer} prebuffer
   */
  constructor(rateHz, prebuffer = new Prebuffer()) {
    this.#rateHz = rateHz;
    this.#prebuffer = prebuffer;
    this.#ring = new Int16Array(CAPACITY_S * rateHz);
    this.#shape = rise(Math.round((FADE_MS / 1000) * rateHz));
  }

  /** Samples that wait. */
  get pending() {
    return this.#written - this.#read;
  }

  /**
   * Takes a frame; not one of an older epoch. One of a newer epoch flushes by itself. What finds no
   * room is dropped: what was said earlier is not lost for what was said later.
   * @param {Frame} frame
   */
  play({ epoch, turn, start, samples }) {
    if (this.#current !== null && isOlder(epoch, this.#current)) return;
    if (epoch !== this.#current) this.flush(epoch);
    let kept = Math.min(samples.length, this.#ring.length - this.pending);
    if (kept > 0 && !this.#continues(turn, start) && !this.#begin(turn, start)) kept = 0;
    this.dropped += samples.length - kept;
    const size = this.#ring.length;
    for (let i = 0; i < kept; i++) this.#ring[this.#written++ % size] = samples[i] ?? 0;
  }

  /**
   * Forgets what waits, but for the few milliseconds in which the sound falls silent. Frames of
   * epochs older than this one are not taken any more.
   * @param {number} epoch
   */
  flush(epoch) {
    this.#current = epoch;
    const left = this.#stretches > 0 ? this.#end() - this.#read : 0;
    this.#written = this.#read + Math.min(left, this.sounding ? Math.ceil(this.#level) : 0);
    this.#stretches = this.pending > 0 ? 1 : 0;
    this.#cut = this.#stretches > 0 ? this.#written : NONE;
    this.#dry = NONE;
    this.#held = 0;
    this.sounding = this.#stretches > 0;
  }

  /**
   * Writes the next `count` samples to `into`, silence where there is nothing to hear.
   * @param {Float32Array} into values from -1 to 1
   * @param {number} count
   */
  pull(into, count) {
    let done = 0;
    while (done < count && this.#stretches > 0 && !this.#holds(count - done)) {
      done = this.#sound(into, done, count);
    }
    if (done === count) return;
    into.fill(0, done, count);
    if (this.sounding) this.#dry = this.turn;
    this.sounding = false;
  }

  /** Whether what waits has to wait for these samples, too. @param {number} count */
  #holds(count) {
    if (this.sounding) return false;
    if (this.#turns[this.#first] === this.#dry) {
      this.underruns++;
      this.#prebuffer.runDry();
      this.#dry = NONE;
    }
    const enough = (this.#prebuffer.ms / 1000) * this.#rateHz;
    if (this.pending >= enough || this.#held >= enough) return false;
    this.#held += count;
    return true;
  }

  /**
   * Gives out the oldest stretch, as far as it goes. Returns how far `into` is filled.
   * @param {Float32Array} into
   * @param {number} from
   * @param {number} to
   */
  #sound(into, from, to) {
    const size = this.#ring.length;
    const full = this.#shape.length - 1;
    const end = this.#end();
    if (this.#read === this.#begins[this.#first]) this.#enter(full);
    let i = from;
    for (; i < to && this.#read < end; i++) {
      const left = end - this.#read;
      if (left <= this.#level) this.#level *= (left - 1) / left;
      else if (this.#level < full) this.#level = Math.min(full, this.#level + 1);
      const gain = this.#shape[Math.round(this.#level)] ?? 0;
      into[i] = (gain * (this.#ring[this.#read++ % size] ?? 0)) / 32768;
    }
    this.samples += i - from;
    this.sounding = true;
    if (this.#read === end) this.#leave();
    return i;
  }

  /** The oldest stretch is about to sound. @param {number} full */
  #enter(full) {
    const turn = this.#turns[this.#first] ?? 0;
    if (turn !== this.turn) this.#prebuffer.newTurn();
    this.epoch = this.#current ?? 0;
    this.turn = turn;
    this.samples = this.#starts[this.#first] ?? 0;
    if (this.samples === 0) this.#level = full;
    this.#dry = NONE;
    this.#held = 0;
  }

  /** The oldest stretch has sounded. */
  #leave() {
    this.#first = (this.#first + 1) % MOST_STRETCHES;
    this.#stretches--;
    if (this.#read !== this.#cut) return;
    this.#cut = NONE;
    this.sounding = false;
  }

  /** Where the oldest stretch ends. */
  #end() {
    if (this.#stretches === 1) return this.#written;
    return this.#begins[(this.#first + 1) % MOST_STRETCHES] ?? 0;
  }

  /**
   * Whether a frame goes on where the newest stretch ends.
   * @param {number} turn
   * @param {number} start
   */
  #continues(turn, start) {
    if (this.#stretches === 0 || this.#cut === this.#written) return false;
    const newest = (this.#first + this.#stretches - 1) % MOST_STRETCHES;
    const length = this.#written - (this.#begins[newest] ?? 0);
    return turn === this.#turns[newest] && start === (this.#starts[newest] ?? 0) + length;
  }

  /**
   * Begins a stretch; false when there are too many.
   * @param {number} turn
   * @param {number} start
   */
  #begin(turn, start) {
    if (this.#stretches === MOST_STRETCHES) return false;
    const newest = (this.#first + this.#stretches++) % MOST_STRETCHES;
    this.#turns[newest] = turn;
    this.#starts[newest] = start;
    this.#begins[newest] = this.#written;
    return true;
  }
}

/**
 * Gains from 0 to 1: half a period of a raised cosine in `steps` steps.
 * @param {number} steps
 */
function rise(steps) {
  return Float32Array.from(
    { length: steps + 1 },
    (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * i) / steps),
  );
}
