/**
 * The playout buffer: a ring of samples that is read at the pace of the loudspeaker.
 *
 * An answer is received faster than it is spoken, so that seconds of it wait here. The ring
 * discards them at once when it is flushed, and knows how much of which turn has been read.
 *
 * The samples are in stretches: runs of one turn without a hole. A frame that continues the newest
 * stretch is appended to it. A frame of another turn, or with a `start` that has jumped, begins a
 * new stretch.
 *
 * Sound that stops or starts abruptly is heard as a click. One rule prevents it, at a gap, a hole,
 * a flush or an end: the level falls to 0 over the last 4 ms of the available sound, and rises
 * again when more is received. Only the beginning of a turn is at full level from its first sample.
 * A flush discards all samples except those that the fall needs.
 */

import { Prebuffer } from './prebuffer.js';

/** Capacity, in seconds. The server sends 5 s and a frame ahead; the rest allows for delays. */
const CAPACITY_S = 8;

/**
 * Duration of a fade. With 1.3 ms in the resampler behind it, sound ends within 6 ms after the
 * quantum of a flush.
 */
const FADE_MS = 4;

/** Maximum number of stretches that wait. More have no use and are dropped. */
const MOST_STRETCHES = 64;

/** A number that no turn and no sample has. */
const NONE = -1;

/**
 * @typedef {{ epoch: number, turn: number, start: number, samples: Int16Array }} Frame
 *   `start`: samples of the turn before this frame.
 */

/**
 * Return whether `epoch` is older than `than`. Epochs are counted modulo 65,536: half of them are
 * older.
 *
 * @param {number} epoch
 * @param {number} than
 */
export function isOlder(epoch, than) {
  return ((epoch - than) & 0xffff) >= 0x8000;
}

/** A playout ring. It allocates nothing after its construction, and belongs to one thread. */
export class PlayoutRing {
  /** Epoch of the sample that was read last. */
  epoch = 0;
  /** Turn of the sample that was read last; 0: none was read. */
  turn = 0;
  /** Samples of `turn` that were read. */
  samples = 0;
  /** Whether the last sample that was read belongs to a turn, and is not silence. */
  sounding = false;
  /** Number of gaps inside turns. */
  underruns = 0;
  /** Number of samples that were dropped because the ring was full. */
  dropped = 0;

  #rateHz;
  #prebuffer;
  #ring;
  #shape;

  // The stretches, the oldest first, are in a ring, too. #begins counts like #read and #written.
  #turns = new Float64Array(MOST_STRETCHES);
  #starts = new Float64Array(MOST_STRETCHES);
  #begins = new Float64Array(MOST_STRETCHES);
  #first = 0;
  #stretches = 0;

  // Samples that were ever written and read. Indices of the ring are modulo its length.
  #written = 0;
  #read = 0;

  /** The epoch that may be played; null before the first frame. @type {number | null} */
  #current = null;
  /** Index of the current gain in #shape, which may be a fraction. */
  #level = 0;
  /** End of the samples that a flush has left. */
  #cut = NONE;
  /** The turn after which silence began because there were no samples. */
  #dry = NONE;
  /** Samples of silence that were read while a turn had to wait. */
  #held = 0;

  /**
   * @param {number} rateHz  the sample rate
   * @param {Prebuffer} prebuffer
   */
  constructor(rateHz, prebuffer = new Prebuffer()) {
    this.#rateHz = rateHz;
    this.#prebuffer = prebuffer;
    this.#ring = new Int16Array(CAPACITY_S * rateHz);
    this.#shape = rise(Math.round((FADE_MS / 1000) * rateHz));
  }

  /** Number of samples that wait. */
  get pending() {
    return this.#written - this.#read;
  }

  /**
   * Append a frame. A frame of an older epoch is dropped; one of a newer epoch flushes the ring. If
   * the ring is full the new samples are dropped, so that earlier speech is not lost.
   *
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
   * Discard the samples that wait, except those of the fade. Frames of older epochs are dropped
   * from now on.
   *
   * @param {number} epoch  the new epoch
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
   * Read the next `count` samples, and silence where there are none.
   *
   * @param {Float32Array} into  the array to fill, with values from -1 to 1
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

  /** Return whether the sound has to wait for `count` more samples. @param {number} count */
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
   * Read from the oldest stretch.
   *
   * @param {Float32Array} into
   * @param {number} from  the first index to fill
   * @param {number} to  the end of the indices to fill
   * @returns the end of the indices that were filled
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

  /** Begin to read the oldest stretch. @param {number} full  the index of the full level */
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

  /** Remove the oldest stretch after it was read. */
  #leave() {
    this.#first = (this.#first + 1) % MOST_STRETCHES;
    this.#stretches--;
    if (this.#read !== this.#cut) return;
    this.#cut = NONE;
    this.sounding = false;
  }

  /** Return where the oldest stretch ends. */
  #end() {
    if (this.#stretches === 1) return this.#written;
    return this.#begins[(this.#first + 1) % MOST_STRETCHES] ?? 0;
  }

  /**
   * Return whether a frame continues the newest stretch.
   *
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
   * Begin a stretch, and return false if there are too many.
   *
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
 * Return gains from 0 to 1: half a period of a raised cosine in `steps` steps.
 *
 * @param {number} steps
 */
function rise(steps) {
  return Float32Array.from(
    { length: steps + 1 },
    (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * i) / steps),
  );
}
