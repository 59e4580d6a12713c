/**
 * The audio worklet of the loudspeaker: a `PlayoutRing` that is read at the pace of the device.
 *
 * A position means: `samples` of the turn, in the rate of the turn, have left this thread at
 * `timeS` of the context's clock. The delay of the resampler is included in `timeS`.
 */

import { STEP_MS, loudness } from './level.js';
import { PlayoutRing } from './ring.js';
import { Resampler } from './resampler.js';

/** Maximum number of samples in one call of `process`. */
const QUANTUM = 128;

/**
 * A message from the page.
 *
 * @typedef {{ kind: 'play' } & import('./ring.js').Frame
 *   | { kind: 'flush', epoch: number }
 *   | { kind: 'close' }} Order
 */

/**
 * The processor of the loudspeaker.
 *
 * - messages to the page, every 20 ms: `Float64Array.of(timeS, epoch, turn, samples, sounding,
 *   level, underruns)`
 * - messages from the page: `Order`
 * - `processorOptions`: `{rateHz}`, the sample rate of the frames
 */
export class Playback extends AudioWorkletProcessor {
  #ring;
  #resampler;
  #pulled;
  #open = true;
  #status = new Float64Array(7);
  /** Samples since the last report, and the sum of their squares. */
  #frames = 0;
  #energy = 0;

  /** @param {AudioWorkletNodeOptions} options */
  constructor(options) {
    super();
    /** @type {number} */
    const rateHz = options.processorOptions.rateHz;
    const most = Math.ceil((QUANTUM * rateHz) / sampleRate) + 1;
    this.#ring = new PlayoutRing(rateHz);
    this.#resampler = new Resampler(rateHz, sampleRate, most);
    this.#pulled = new Float32Array(most);
    this.port.onmessage = ({ data }) => this.#handle(data);
  }

  /**
   * Fill one quantum of sound.
   *
   * @override
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    const played = outputs[0]?.[0];
    if (!played) return this.#open;
    const count = this.#resampler.needs(played.length);
    this.#ring.pull(this.#pulled, count);
    this.#resampler.resample(this.#pulled, count, played);
    this.#measure(played);
    return this.#open;
  }

  /** Measure the loudness, and post a report every 20 ms. @param {Float32Array} played */
  #measure(played) {
    for (let i = 0; i < played.length; i++) this.#energy += (played[i] ?? 0) ** 2;
    this.#frames += played.length;
    if (this.#frames < (sampleRate * STEP_MS) / 1000) return;
    const ring = this.#ring;
    const status = this.#status;
    status[0] = currentTime + played.length / sampleRate + this.#resampler.delayS;
    status[1] = ring.epoch;
    status[2] = ring.turn;
    status[3] = ring.samples;
    status[4] = Number(ring.sounding);
    status[5] = loudness(this.#energy / this.#frames);
    status[6] = ring.underruns;
    this.port.postMessage(status);
    this.#frames = this.#energy = 0;
  }

  /** Handle a message of the page. @param {Order} order */
  #handle(order) {
    if (order.kind === 'play') this.#ring.play(order);
    else if (order.kind === 'flush') this.#ring.flush(order.epoch);
    else this.#open = false;
  }
}

registerProcessor('sonic-voice-playback', Playback);
