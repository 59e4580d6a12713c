/** The loudspeaker: it plays answers, falls silent at once, and knows what has been heard. */

import { joinContext, leaveContext, workletNode } from './context.js';
import { HeardPosition } from './heard.js';
import { Level } from './level.js';
import { outputLatencyS } from './output-latency.js';
import { isOlder } from './ring.js';
import { loudspeakerError } from './sound-error.js';

/**
 * Interval of calls to `onPlayed` while sound plays, in seconds. Reports of the audio thread come
 * every 20 ms; half of that is subtracted so that the nearest one to 100 ms is used.
 */
const REPORT_S = 0.1 - 0.02 / 2;

/** Time constant of a change of the volume, in seconds: without one it would click. */
const VOLUME_S = 0.01;

/**
 * An `AudioContext` with a member that some browsers and TypeScript's library lack.
 *
 * @typedef {AudioContext & { setSinkId?: (id: string) => Promise<void> }} Context
 */

/**
 * A callback that receives what has been heard: `samples` of `turn`, in the rate of the turn; turn
 * 0: nothing yet. It is called every 100 ms while sound plays, when it begins and ends, and inside
 * `flush`.
 *
 * @typedef {(played: import('./heard.js').Played) => void} OnPlayed
 */

/** An open loudspeaker. */
export class Loudspeaker {
  /** Number of gaps inside turns that were heard so far. */
  underruns = 0;

  /** @type {Context} */
  #context;
  #node;
  #gain;
  #onPlayed;
  #heard = new HeardPosition();
  #level = new Level();
  #closed = false;
  /** The epoch that may be played; null: not known yet. @type {number | null} */
  #epoch = null;
  #playing = false;
  /** Time of the last call of `onPlayed`, on the clock of the context. */
  #reportedS = 0;

  /**
   * Open the loudspeaker `deviceId`, or the default one. Call it in a handler of a click, after
   * `Microphone.open`. If the page may not play sound yet, it is silent until the next gesture.
   *
   * @param {{ deviceId?: string, rateHz?: number, onPlayed: OnPlayed }} options
   * @throws {import('./sound-error.js').SoundError}
   */
  static async open({ deviceId = '', rateHz = 24000, onPlayed }) {
    const context = joinContext();
    try {
      const node = await workletNode(context, './playback-worklet.js', 'sonic-voice-playback', {
        numberOfInputs: 0,
        outputChannelCount: [1],
        processorOptions: { rateHz },
      });
      const loudspeaker = new Loudspeaker(context, node, onPlayed);
      if (deviceId) await loudspeaker.setDevice(deviceId);
      return loudspeaker;
    } catch (error) {
      await leaveContext();
      throw error;
    }
  }

  /**
   * Use `Loudspeaker.open` instead.
   *
   * @param {AudioContext} context
   * @param {AudioWorkletNode} node
   * @param {OnPlayed} onPlayed
   */
  constructor(context, node, onPlayed) {
    this.#context = context;
    this.#node = node;
    this.#gain = context.createGain();
    this.#onPlayed = onPlayed;
    node.connect(this.#gain).connect(context.destination);
    node.port.onmessage = ({ data }) => this.#note(data);
  }

  /**
   * Queue sound. It is copied. This never blocks; sound of more than 8 s ahead is dropped.
   *
   * @param {import('./ring.js').Frame} frame
   */
  play({ epoch, turn, start, samples }) {
    if (this.#epoch !== null && isOlder(epoch, this.#epoch)) return;
    this.#epoch = epoch;
    const copy = samples.slice();
    this.#node.port.postMessage({ kind: 'play', epoch, turn, start, samples: copy }, [copy.buffer]);
  }

  /**
   * Silence the sound of older epochs, after one render quantum and a fade of 4 ms. Frames of older
   * epochs are dropped from now on. This also sets the first epoch of a new conversation.
   *
   * @param {number} epoch  the new epoch
   */
  flush(epoch) {
    this.#node.port.postMessage({ kind: 'flush', epoch });
    this.#epoch = epoch;
    this.#playing = false;
    this.#onPlayed({ ...this.#heard.at(this.#heardS), epoch, playing: false });
  }

  /** Set the volume. @param {number} volume  0 to 1, a factor of the amplitude */
  set volume(volume) {
    this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, VOLUME_S);
  }

  /** The clock of the sound, in seconds. It advances as long as the browser plays. */
  get clockS() {
    return this.#context.currentTime;
  }

  /** Return the loudness of the last 50 ms, 0 to 1; see `level.js`. */
  level() {
    return this.#level.level();
  }

  /**
   * Write the newest loudness values, one for each 20 ms, the oldest first.
   *
   * @param {Float32Array} into  the array to fill
   */
  wave(into) {
    this.#level.wave(into);
  }

  /**
   * Play through another device. If the browser cannot select one, nothing changes.
   *
   * @param {string} deviceId  '' is the default device
   * @throws {import('./sound-error.js').SoundError}
   */
  async setDevice(deviceId) {
    try {
      await this.#context.setSinkId?.(deviceId);
    } catch (error) {
      throw loudspeakerError(error);
    }
  }

  /** Close the loudspeaker. May be called again. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#node.disconnect();
    this.#gain.disconnect();
    this.#node.port.postMessage({ kind: 'close' });
    this.#node.port.onmessage = null;
    await leaveContext();
  }

  /** Time of the sound that is heard now, on the clock of the context, in seconds. */
  get #heardS() {
    return this.#context.currentTime - outputLatencyS(this.#context, navigator.userAgent);
  }

  /** Handle a report of the worklet. @param {Float64Array} status */
  #note([timeS = 0, epoch = 0, turn = 0, samples = 0, sounding = 0, level = 0, underruns = 0]) {
    this.#level.push(level);
    this.underruns = underruns;
    this.#heard.record({ timeS, epoch, turn, samples, sounding: sounding === 1 });
    const heardS = this.#heardS;
    const played = this.#heard.at(heardS);
    // Sound of an old epoch was cut off by a flush, which has reported how much was heard.
    if (played.epoch !== this.#epoch) return;
    const due = played.playing && heardS - this.#reportedS >= REPORT_S;
    if (!due && played.playing === this.#playing) return;
    this.#reportedS = heardS;
    this.#playing = played.playing;
    this.#onPlayed(played);
  }
}
