/**
 * The microphone and the loudspeaker of one client: opened together, replaced one by one.
 *
 * Without a microphone a conversation goes on: one can listen and type. Without a loudspeaker there
 * is none, so it is what tells whether sound is open.
 */

import { Loudspeaker } from './audio/loudspeaker.js';
import { Microphone } from './audio/microphone.js';

/** @import { OnSamples } from './audio/microphone.js' */
/** @import { Report } from './link.js' */

/**
 * What is needed of devices; `Kinds` may be others than the browser's.
 *
 * @typedef {Pick<Microphone, 'level' | 'wave' | 'onended' | 'close'>} Input
 * @typedef {Pick<Loudspeaker, 'level' | 'wave' | 'play' | 'flush' | 'setDevice' | 'close'>} Output
 * @typedef {{
 *   Microphone: { open(options: Parameters<typeof Microphone.open>[0]): Promise<Input> },
 *   Loudspeaker: { open(options: Parameters<typeof Loudspeaker.open>[0]): Promise<Output> },
 * }} Kinds
 */

/**
 * `onSamples`, `onPlayed`: of whichever devices are open. `onGone`: the microphone vanished;
 * `error`: and there is no other.
 *
 * @typedef {{ onSamples: OnSamples, onPlayed: (report: Report) => void,
 *   onGone: (error?: unknown) => void }} Listeners
 */

export class Sound {
  /** @type {Input | null} */
  microphone = null;
  /** @type {Output | null} */
  loudspeaker = null;

  #kinds;
  #listeners;
  #devices = { input: '', output: '' };
  #rates = { inputHz: 16_000, outputHz: 24_000 };

  /**
   * @param {Listeners} listeners
   * @param {Kinds} [kinds]
   */
  constructor(listeners, kinds = { Microphone, Loudspeaker }) {
    this.#listeners = listeners;
    this.#kinds = kinds;
  }

  /**
   * Open both, unless they are. Rejects with `SoundError`, and then neither is.
   *
   * @param {AbortSignal} signal  nobody wants them any more
   */
  async open(signal) {
    if (this.loudspeaker) return;
    const microphone = await this.#openMicrophone(this.#devices.input);
    const loudspeaker = await this.#openLoudspeaker().catch(async (error) => {
      await microphone.close();
      throw error;
    });
    if (signal.aborted) await Promise.all([microphone.close(), loudspeaker.close()]);
    else [this.microphone, this.loudspeaker] = [microphone, loudspeaker];
  }

  /** Let both go, at once. */
  async close() {
    const open = [this.microphone, this.loudspeaker];
    this.microphone = this.loudspeaker = null;
    await Promise.all(open.map((device) => device?.close()));
  }

  /**
   * Choose devices, now or for later; `''` is the browser's choice. Rejects with `SoundError`, and
   * then those before are kept.
   *
   * @param {{ input?: string, output?: string }} devices
   */
  async use({ input, output }) {
    if (input !== undefined) {
      if (this.microphone) await this.#replaceMicrophone(input);
      this.#devices.input = input;
    }
    if (output !== undefined) {
      await this.loudspeaker?.setDevice(output);
      this.#devices.output = output;
    }
  }

  /**
   * Sound in these rates, hardly ever others than were opened. Rejects as `open` does.
   *
   * @param {{ inputHz: number, outputHz: number }} rates
   * @param {AbortSignal} signal
   */
  async useRates(rates, signal) {
    if (rates.inputHz === this.#rates.inputHz && rates.outputHz === this.#rates.outputHz) return;
    this.#rates = rates;
    await this.close();
    await this.open(signal);
  }

  #openLoudspeaker() {
    const { onPlayed } = this.#listeners;
    const deviceId = this.#devices.output;
    return this.#kinds.Loudspeaker.open({ deviceId, rateHz: this.#rates.outputHz, onPlayed });
  }

  /** @param {string} deviceId */
  async #openMicrophone(deviceId) {
    const { onSamples } = this.#listeners;
    const rateHz = this.#rates.inputHz;
    const microphone = await this.#kinds.Microphone.open({ deviceId, rateHz, onSamples });
    microphone.onended = () => void this.#useDefaultMicrophone();
    return microphone;
  }

  /** @param {string} deviceId */
  async #replaceMicrophone(deviceId) {
    const microphone = await this.#openMicrophone(deviceId);
    const old = this.loudspeaker ? this.microphone : microphone; // it may have ended meanwhile
    if (this.loudspeaker) this.microphone = microphone;
    await old?.close();
  }

  async #useDefaultMicrophone() {
    try {
      await this.use({ input: '' });
      this.#listeners.onGone();
    } catch (error) {
      this.microphone = null;
      this.#listeners.onGone(error);
    }
  }
}
