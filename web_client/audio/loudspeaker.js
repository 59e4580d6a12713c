/** The loudspeaker: plays the answer, falls silent at once, and knows what was heard. */

import { joinContext, leaveContext, workletNode } from './context.js';
import { HeardPosition } from './heard.js';
import { Level } from './level.js';
import { isOlder } from './ring.js';
import { loudspeakerError } from './sound-error.js';

/** While it plays, `onPlayed` is called every 100 ms: at the status nearest to it, of one in 20. */
const REPORT_S = 0.1 - 0.02 / 2;

/**
 * Browsers lack some of this, and TypeScript's library lacks the sink.
 * @typedef {AudioContext & { setSinkId?: (id: string) => Promise<void>, outputLatency?: number }}
 *   Context
 */

/**
 * Is told what has been heard: `samples` of `turn`, in the turn's rate; turn 0: nothing yet. Every
 * 100 ms while sound plays, when it begins and ends, and inside `flush`.
 * @typedef {(played: import('./heard.js').Played) => void} OnPlayed
 */

/** An open loudspeaker. */
export class Loudspeaker {
  /** Gaps heard inside a turn so far. */
  underruns = 0;

  /** @type {Context} */
  #context;
  #node;
  #onPlayed;
  #heard = new HeardPosition();
  #level = new Level();
  #closed = false;
  /** Of what may sound; null: not known yet. @type {number | null} */
  #epoch = null;
  #playing = false;
  #toldS = 0;

  /**
   * Opens the loudspeaker `deviceId`, or the default one. Call it in the course of a click, after
   * `Microphone.open`; in a page that may not sound yet it is silent until the next gesture.
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
      node.connect(context.destination);
      return loudspeaker;
    } catch (error) {
      await leaveContext();
      throw error;
    }
  }

  /**
   * Use `Loudspeaker.open`.
   * @param {AudioContext} context
   * @param {AudioWorkletNode} node
   * @param {OnPlayed} onPlayed
   */
  constructor(context, node, onPlayed) {
    this.#context = context;
    this.#node = node;
    this.#onPlayed = onPlayed;
    node.port.onmessage = ({ data }) => this.#note(data);
  }

  /**
   * Queues sound. Copies it, and never blocks; what is more than 8 s ahead is dropped.
   * @param {import('./ring.js').Frame} frame
   */
  play({ epoch, turn, start, samples }) {
    if (this.#epoch !== null && isOlder(epoch, this.#epoch)) return;
    this.#epoch = epoch;
    const copy = samples.slice();
    this.#node.port.postMessage({ kind: 'play', epoch, turn, start, samples: copy }, [copy.buffer]);
  }

  /**
   * Nothing older than `epoch` sounds any more after one render quantum and a fade of 4 ms, and
   * frames of older epochs are dropped. Also tells a new conversation's first epoch.
   * @param {number} epoch
   */
  flush(epoch) {
    this.#node.port.postMessage({ kind: 'flush', epoch });
    this.#epoch = epoch;
    this.#playing = false;
    this.#onPlayed({ ...this.#heard.at(this.#heardS), epoch, playing: false });
  }

  /** How loud the last 50 ms were, 0 to 1; see `level.js`. */
  level() {
    return this.#level.level();
  }

  /**
   * The newest `into.length` values of loudness, 20 ms each, oldest first.
   * @param {Float32Array} into
   */
  wave(into) {
    this.#level.wave(into);
  }

  /**
   * Plays through another device; '' is the default one. Where the browser offers no choice,
   * nothing changes.
   * @param {string} deviceId
   * @throws {import('./sound-error.js').SoundError}
   */
  async setDevice(deviceId) {
    try {
      await this.#context.setSinkId?.(deviceId);
    } catch (error) {
      throw loudspeakerError(error);
    }
  }

  /** Falls silent for good. May be repeated. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    this.#node.disconnect();
    this.#node.port.postMessage({ kind: 'close' });
    this.#node.port.onmessage = null;
    await leaveContext();
  }

  /** The time on the context's clock of what is heard now. */
  get #heardS() {
    const { currentTime, outputLatency, baseLatency } = this.#context;
    return currentTime - (outputLatency || baseLatency || 0);
  }

  /** @param {Float64Array} status of the worklet */
  #note([timeS = 0, epoch = 0, turn = 0, samples = 0, sounding = 0, level = 0, underruns = 0]) {
    this.#level.push(level);
    this.underruns = underruns;
    this.#heard.note({ timeS, epoch, turn, samples, sounding: sounding === 1 });
    const heardS = this.#heardS;
    const played = this.#heard.at(heardS);
    if (played.epoch !== this.#epoch) return; // cut off by a flush, which told how far it came
    const due = played.playing && heardS - this.#toldS >= REPORT_S;
    if (!due && played.playing === this.#playing) return;
    this.#toldS = heardS;
    this.#playing = played.playing;
    this.#onPlayed(played);
  }
}
