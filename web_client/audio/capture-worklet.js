/**
 * The audio worklet of the microphone: it converts the sound of the device to frames of 20 ms.
 *
 * Frames are transferred to the page, not copied, and their buffers are returned to be filled
 * again. While the page keeps up, a few buffers circulate and the audio thread allocates nothing.
 */

import { STEP_MS } from './level.js';
import { Resampler } from './resampler.js';

/** Maximum number of samples in one call of `process`. */
const QUANTUM = 128;

/** Number of buffers that circulate: 160 ms of sound. */
const BUFFERS = 8;

/**
 * The processor of the microphone.
 *
 * - messages to the page: an `Int16Array` of 20 ms
 * - messages from the page: the buffer of such an array, to be used again, or `null` to stop
 * - `processorOptions`: `{rateHz}`, the sample rate of the frames
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
    this.port.onmessage = ({ data }) => this.#handle(data);
  }

  /**
   * Convert one quantum of sound.
   *
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

  /** Append a sample, and post the frame if it is full. @param {number} sample */
  #put(sample) {
    const scaled = Math.round(sample * 32768);
    this.#frame[this.#filled++] = Math.min(32767, Math.max(-32768, scaled));
    if (this.#filled < this.#frameSamples) return;
    this.port.postMessage(this.#frame, [this.#frame.buffer]);
    this.#frame = this.#emptyFrame();
    this.#filled = 0;
  }

  /** Return a buffer. A new one is allocated only if the page is late, so that no sound is lost. */
  #emptyFrame() {
    return this.#free.pop() ?? new Int16Array(this.#frameSamples);
  }

  /** Handle a message of the page. @param {ArrayBuffer | null} buffer */
  #handle(buffer) {
    if (buffer === null) this.#open = false;
    else if (this.#free.length < BUFFERS) this.#free.push(new Int16Array(buffer));
  }
}

registerProcessor('sonic-voice-capture', Capture);
