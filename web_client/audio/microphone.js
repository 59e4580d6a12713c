/** The microphone: frames of 20 ms, from which the browser has removed echo and noise. */

import { joinContext, leaveContext, workletNode } from './context.js';
import { Level, loudness } from './level.js';
import { insecurePage, microphoneError, soundSystemError } from './sound-error.js';

/**
 * A callback that receives 20 ms of sound, signed 16 bit. The samples are valid only during the
 * call: the buffer is then returned to the audio thread.
 *
 * @typedef {(samples: Int16Array<ArrayBuffer>) => void} OnSamples
 */

/** An open microphone. It delivers sound until `close`, or until the device is removed. */
export class Microphone {
  /**
   * Called when the system or the device mutes the sound, and when it is back.
   *
   * @type {((muted: boolean) => void) | null}
   */
  onmuted = null;
  /** Called once if the device is removed or its use is withdrawn. @type {(() => void) | null} */
  onended = null;

  #stream;
  #source;
  #node;
  #level = new Level();
  #closed = false;

  /**
   * Open the microphone `deviceId`, or the default one. The browser may ask the user for
   * permission; call it in a handler of a click.
   *
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
        // Stereo devices are mixed down. The node has a silent output, because some browsers do
        // not run a node that is not connected to anything.
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
   * Use `Microphone.open` instead.
   *
   * @param {MediaStream} stream
   * @param {AudioNode} source
   * @param {AudioWorkletNode} node
   * @param {OnSamples} onSamples
   */
  constructor(stream, source, node, onSamples) {
    this.#stream = stream;
    this.#source = source;
    this.#node = node;
    node.port.onmessage = ({ data }) => this.#handle(data, onSamples);
    for (const track of stream.getAudioTracks()) {
      track.onended = () => this.onended?.();
      track.onmute = () => this.onmuted?.(true);
      track.onunmute = () => this.onmuted?.(false);
    }
  }

  /** True if the system or the device has muted the sound. */
  get muted() {
    return this.#stream.getAudioTracks().some((track) => track.muted);
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

  /** Close the microphone. May be called again. */
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
   * Pass on a frame, and return its buffer to the audio thread.
   *
   * @param {Int16Array<ArrayBuffer>} samples
   * @param {OnSamples} onSamples
   */
  #handle(samples, onSamples) {
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

/** Obtain the stream of a microphone. @param {string} deviceId */
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
 * Connect a microphone to its worklet, and return the source node.
 *
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

/** Release the device of a stream. @param {MediaStream} stream */
function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
