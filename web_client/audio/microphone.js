/** The microphone: 20 ms of the user's voice at a time, echo and noise taken out by the browser. */

import { joinContext, leaveContext, workletNode } from './context.js';
import { Level, loudness } from './level.js';
import { insecurePage, microphoneError, soundSystemError } from './sound-error.js';

/**
 * Gets 20 ms of voice, signed 16 bit. Only valid during the call: the buffer goes back to the audio
 * thread afterwards.
 * @typedef {(samples: Int16Array<ArrayBuffer>) => void} OnSamples
 */

/** An open microphone. Its sound comes until `close`, or until the device is gone. */
export class Microphone {
  /** Called once if the device vanishes or is taken away. @type {(() => void) | null} */
  onended = null;

  #stream;
  #source;
  #node;
  #level = new Level();
  #closed = false;

  /**
   * Opens the microphone `deviceId`, or the default one. Asks the user where it must; best called
   * in the course of a click.
   * @param {{ deviceId?: string, rateHz?: number, onSamples: OnSamples }} options
   * @throws {import('./sound-error.js').SoundError}
   */
  static async open({ deviceId = '', rateHz = 16000, onSamples }) {
    const stream = await ask(deviceId);
    /** @type {AudioContext | null} */
    let context = null;
    try {
      context = joinContext();
      const node = await workletNode(context, './capture-worklet.js', 'sonic-voice-capture', {
        // Stereo devices are mixed down. The output is silent: a node that leads nowhere is not
        // run by every browser.
        channelCount: 1,
        channelCountMode: 'explicit',
        processorOptions: { rateHz },
      });
      return new Microphone(stream, connect(context, stream, node), node, onSamples);
    } catch (error) {
      stopTracks(stream);
      if (context) await leaveContext();
      throw error;
    }
  }

  /**
   * Use `Microphone.open`.
   * @param {MediaStream} stream
   * @param {AudioNode} source
   * @param {AudioWorkletNode} node
   * @param {OnSamples} onSamples
   */
  constructor(stream, source, node, onSamples) {
    this.#stream = stream;
    this.#source = source;
    this.#node = node;
    node.port.onmessage = ({ data }) => this.#hear(data, onSamples);
    for (const track of stream.getAudioTracks()) track.onended = () => this.onended?.();
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

  /** Lets the device go. May be repeated. */
  async close() {
    if (this.#closed) return;
    this.#closed = true;
    stopTracks(this.#stream);
    this.#source.disconnect();
    this.#node.disconnect();
    this.#node.port.postMessage(null);
    this.#node.port.onmessage = null;
    await leaveContext();
  }

  /**
   * @param {Int16Array<ArrayBuffer>} samples
   * @param {OnSamples} onSamples
   */
  #hear(samples, onSamples) {
    let energy = 0;
    for (const sample of samples) energy += (sample / 32768) ** 2;
    this.#level.push(loudness(energy / samples.length));
    try {
      onSamples(samples);
    } finally {
      this.#node.port.postMessage(samples.buffer, [samples.buffer]);
    }
  }
}

/** @param {string} deviceId */
async function ask(deviceId) {
  if (!navigator.mediaDevices) throw insecurePage();
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {
        ...(deviceId && { deviceId: { exact: deviceId } }),
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
        channelCount: 1,
      },
    });
  } catch (error) {
    throw microphoneError(error);
  }
}

/**
 * @param {AudioContext} context
 * @param {MediaStream} stream
 * @param {AudioWorkletNode} node
 */
function connect(context, stream, node) {
  try {
    const source = context.createMediaStreamSource(stream);
    source.connect(node).connect(context.destination);
    return source;
  } catch (error) {
    throw soundSystemError(error);
  }
}

/** @param {MediaStream} stream */
function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
