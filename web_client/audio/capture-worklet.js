/**
 * The microphone's side of the audio thread: what the device gives, in frames of 20 ms.
 *
 * Frames are moved to the page, not copied, and come back to be filled again: while the page keeps
 * up, a handful of buffers go round and the audio thread makes no garbage.
 */

import { STEP_MS } from './level.js';
import { Resampler } from './resampler.js';

/** The most frames one call is given. */
const QUANTUM = 128;

/** Buffers made at the start: 160 ms of frames under way. */
const BUFFERS = 8;

/**
 * To the page: an `Int16Array` of 20 ms. From the page: its buffer, to be used again, or `null`:
 * stop for good. `processorOptions`: `{rateHz}` of the frames.
 */
export class Capture extends AudioWorkletProcessor {
  /** @type {Int16Array<ArrayBuffer>[]} */
  #free = [];
  #open = true;
  #filled = 0;
  #frame;
  #frameSamples;
  #resampler;
  #resampled;

  /** @param {AudioWorkletNodeOptions} options */
  constructor(options) {
    super();
    /** @type {number} */
    const rateHz = options.processorOptions.rateHz;
    this.#frameSamples = Math.round((rateHz * STEP_MS) / 1000);
    for (let i = 0; i < BUFFERS; i++) this.#free.push(new Int16Array(this.#frameSamples));
    this.#frame = this.#emptyFrame();
    this.#resampler = new Resampler(sampleRate, rateHz, QUANTUM);
    this.#resampled = new Float32Array(Math.ceil((QUANTUM * rateHz) / sampleRate) + 1);
    this.port.onmessage = ({ data }) => this.#take(data);
  }

  /**
   * @override
   * @param {Float32Array[][]} inputs
   */
  process(inputs) {
    const heard = inputs[0]?.[0];
    if (heard && this.#open) {
      const count = this.#resampler.resample(heard, heard.length, this.#resampled);
      for (let i = 0; i < count; i++) this.#put(this.#resampled[i] ?? 0);
    }
    return this.#open;
  }

  /** @param {number} sample */
  #put(sample) {
    const scaled = Math.round(sample * 32768);
    this.#frame[this.#filled++] = Math.min(32767, Math.max(-32768, scaled));
    if (this.#filled < this.#frameSamples) return;
    this.port.postMessage(this.#frame, [this.#frame.buffer]);
    this.#frame = this.#emptyFrame();
    this.#filled = 0;
  }

  /** A new one only while the page is late: a stalled page loses no sound. */
  #emptyFrame() {
    return this.#free.pop() ?? new Int16Array(this.#frameSamples);
  }

  /** @param {ArrayBuffer | null} buffer */
  #take(buffer) {
    if (buffer === null) this.#open = false;
    else if (this.#free.length < BUFFERS) this.#free.push(new Int16Array(buffer));
  }
}

registerProcessor('sonic-voice-capture', Capture);
