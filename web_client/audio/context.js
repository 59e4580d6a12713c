/**
 * The one `AudioContext` of a page, shared by microphone and loudspeaker.
 *
 * It runs at the sample rate of the device, and the worklets convert: to 16 kHz and from 24 kHz.
 * Contexts at 16 and 24 kHz would make this unnecessary where they work, but:
 *
 * - Echo cancellation: Firefox uses as the far end the sound of the graph that the microphone is
 *   connected to. A context with another rate is another graph, and its sound would be sent to the
 *   server as if the user had said it. Chromium and Safari use all sound of the device, whichever
 *   context it came from.
 * - Firefox refuses to connect a microphone to a context of another rate.
 * - iOS has one rate for all contexts; contexts that ask for other rates have stuttered there.
 * - One path is tested instead of four. The conversion costs half a percent of a core.
 *
 * The microphone is opened before the context: with a headset the rate of the device changes at
 * that moment, and a page that uses a microphone may play sound without a click.
 *
 * Browsers suspend a context that was not started by a gesture, and iOS interrupts one for a phone
 * call. It is resumed as soon as the browser allows it: at once, at the next gesture, or when the
 * page is in front again.
 */

import { soundSystemError } from './sound-error.js';

/** Events at which a suspended context is resumed. */
const GESTURES = ['pointerdown', 'pointerup', 'touchend', 'keydown', 'visibilitychange'];

/** @typedef {{ context: AudioContext, users: number, stop: AbortController }} Shared */

/** @type {Shared | null} */
let shared = null;

/**
 * Return the context, and count one more user. Each call needs a call of `leaveContext`.
 *
 * @throws {import('./sound-error.js').SoundError}
 */
export function joinContext() {
  shared ??= open();
  shared.users++;
  return shared.context;
}

/** Count one user less. The context is closed when the last one has left. */
export async function leaveContext() {
  if (!shared || --shared.users > 0) return;
  const { context, stop } = shared;
  shared = null;
  stop.abort();
  await context.close();
}

/**
 * Create a worklet node. It is not connected yet.
 *
 * @param {AudioContext} context
 * @param {string} file  the module of the worklet, in the folder of this module
 * @param {string} name  the name that the module registers
 * @param {AudioWorkletNodeOptions} options
 * @throws {import('./sound-error.js').SoundError}
 */
export async function workletNode(context, file, name, options) {
  try {
    await context.audioWorklet.addModule(new URL(file, import.meta.url));
    return new AudioWorkletNode(context, name, options);
  } catch (error) {
    throw soundSystemError(error);
  }
}

/** Create the shared context. @returns {Shared} */
function open() {
  const stop = new AbortController();
  try {
    const context = new AudioContext({ latencyHint: 'interactive' });
    keepRunning(context, stop.signal);
    return { context, users: 0, stop };
  } catch (error) {
    throw soundSystemError(error);
  }
}

/**
 * Resume a context whenever it is suspended.
 *
 * @param {AudioContext} context
 * @param {AbortSignal} signal  ends this
 */
function keepRunning(context, signal) {
  // A refusal can be ignored: the next gesture tries again.
  const refused = () => undefined;
  const resume = () => {
    if (context.state !== 'running' && context.state !== 'closed') context.resume().catch(refused);
  };
  for (const gesture of GESTURES) {
    document.addEventListener(gesture, resume, { signal, capture: true, passive: true });
  }
  context.addEventListener('statechange', resume, { signal });
  resume();
}
