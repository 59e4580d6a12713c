/**
 * The microphone and the loudspeaker of one client: opened together, replaced one by one.
 *
 * A conversation begins and continues without a microphone, because the user can listen and type.
 * It does not do so without a loudspeaker; sound is therefore open if and only if there is a
 * loudspeaker.
 */

import { Loudspeaker } from './audio/loudspeaker.js';
import { Microphone } from './audio/microphone.js';
import { UNREACHED } from './audio/sound-error.js';
import { SoundState } from './sound-state.js';

/** @import { OnSamples } from './audio/microphone.js' */
/** @import { Report } from './link.js' */

/**
 * The methods of devices that are used. `DeviceClasses` are the classes that open devices; an
 * application may provide others than the browser's.
 *
 * @typedef {Pick<Microphone, 'level' | 'wave' | 'onended' | 'close'>
 *   & Partial<Pick<Microphone, 'muted' | 'onmuted'>>} Input
 * @typedef {Pick<Loudspeaker, 'level' | 'wave' | 'play' | 'flush' | 'setDevice' | 'close'>
 *   & Partial<Pick<Loudspeaker, 'volume' | 'clockS'>>} Output
 * @typedef {{
 *   Microphone: { open(options: Parameters<typeof Microphone.open>[0]): Promise<Input> },
 *   Loudspeaker: { open(options: Parameters<typeof Loudspeaker.open>[0]): Promise<Output> },
 * }} DeviceClasses
 */

/**
 * Callbacks of the devices that are open.
 *
 * - `onChange`: the state of the microphone has changed; with a sentence for the user, or '' if
 *   there is nothing to say
 *
 * @typedef {{ onSamples: OnSamples, onPlayed: (report: Report) => void,
 *   onChange: (text: string) => void }} Listeners
 */

/** The devices of one client. */
export class Sound {
  /** @type {Input | null} */
  microphone = null;
  /** @type {Output | null} */
  loudspeaker = null;
  /** The troubles of the devices. */
  state = new SoundState();

  #deviceClasses;
  #listeners;
  #devices = { input: '', output: '' };
  #volume = 1;
  #rates = { inputHz: 16_000, outputHz: 24_000 };

  /**
   * @param {Listeners} listeners
   * @param {DeviceClasses} [deviceClasses]
   */
  constructor(listeners, deviceClasses = { Microphone, Loudspeaker }) {
    this.#listeners = listeners;
    this.#deviceClasses = deviceClasses;
  }

  /**
   * Open both devices, unless they are open. Without a microphone the loudspeaker alone is opened.
   * Rejects with `SoundError`; then neither is open.
   *
   * @param {AbortSignal} signal  closes the devices again if it is aborted while they open
   */
  async open(signal) {
    if (this.loudspeaker) return;
    /** @type {unknown} */
    let missing = null;
    const microphone = await this.#openMicrophone(this.#devices.input).catch((error) => {
      const isDevice = error instanceof Error && 'hint' in error && error.name !== UNREACHED;
      if (!isDevice) throw error;
      missing = error;
      return null;
    });
    if (signal.aborted) {
      await microphone?.close();
      return;
    }
    const loudspeaker = await this.#openLoudspeaker().catch(async (error) => {
      await microphone?.close();
      throw missing ?? error; // what the microphone lacks is often the cause of both
    });
    if (signal.aborted) {
      await Promise.all([microphone?.close(), loudspeaker.close()]);
      return;
    }
    [this.microphone, this.loudspeaker] = [microphone, loudspeaker];
    const { state } = this;
    this.#listeners.onChange(microphone ? this.#hear(microphone) : state.beginWithout(missing));
  }

  /** The volume of the loudspeaker, 0 to 1. */
  get volume() {
    return this.#volume;
  }

  set volume(volume) {
    this.#volume = Math.min(1, Math.max(0, volume));
    if (this.loudspeaker) this.loudspeaker.volume = this.#volume;
  }

  /** Close both devices. */
  async close() {
    const open = [this.microphone, this.loudspeaker];
    this.microphone = this.loudspeaker = null;
    this.state = new SoundState();
    await Promise.all(open.map((device) => device?.close()));
  }

  /**
   * Choose devices, for now or for the next conversation. Rejects with `SoundError`; then the
   * device that failed is not changed.
   *
   * @param {{ input?: string, output?: string }} devices  ids; `''` is the browser's choice
   */
  async use({ input, output }) {
    if (input !== undefined) {
      if (this.loudspeaker) await this.#replaceMicrophone(input);
      this.#devices.input = input;
    }
    if (output !== undefined) {
      await this.loudspeaker?.setDevice(output);
      this.#devices.output = output;
    }
  }

  /**
   * Open the devices again if the server's sample rates differ from those in use, which is rare.
   * Rejects as `open` does.
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

  /** Open the chosen loudspeaker. */
  async #openLoudspeaker() {
    const { onPlayed } = this.#listeners;
    const deviceId = this.#devices.output;
    const rateHz = this.#rates.outputHz;
    const opened = await this.#deviceClasses.Loudspeaker.open({ deviceId, rateHz, onPlayed });
    if (this.#volume !== 1) opened.volume = this.#volume;
    return opened;
  }

  /** Open a microphone. @param {string} deviceId */
  async #openMicrophone(deviceId) {
    const { onSamples } = this.#listeners;
    const rateHz = this.#rates.inputHz;
    const microphone = await this.#deviceClasses.Microphone.open({ deviceId, rateHz, onSamples });
    microphone.onended = () => void this.#useDefaultMicrophone();
    microphone.onmuted = (muted) => {
      if (microphone === this.microphone) this.#listeners.onChange(this.state.hear(muted));
    };
    return microphone;
  }

  /** Open a microphone, and close the one before. @param {string} deviceId */
  async #replaceMicrophone(deviceId) {
    const microphone = await this.#openMicrophone(deviceId);
    // If sound was closed meanwhile, the new microphone is closed again.
    const old = this.loudspeaker ? this.microphone : microphone;
    if (this.loudspeaker) {
      this.microphone = microphone;
      this.#listeners.onChange(this.#hear(microphone));
    }
    await old?.close();
  }

  /** Replace a microphone that was removed by the default one. */
  async #useDefaultMicrophone() {
    try {
      await this.use({ input: '' });
      this.#listeners.onChange(this.state.lose());
    } catch (error) {
      this.microphone = null;
      this.#listeners.onChange(this.state.lose(error));
    }
  }

  /** Note that a microphone is open. @param {Input} microphone */
  #hear(microphone) {
    return this.state.hear(microphone.muted ?? false);
  }
}
