/**
 * The one `AudioContext` of a page, shared by microphone and loudspeaker.
 *
 * It runs at the device's own rate, and the worklets convert: to 16 kHz and from 24 kHz. Contexts
 * at 16 and 24 kHz would spare that where they work, but:
 *
 * - Echo cancellation. Firefox takes as the far end what is played in the graph that the microphone
 *   is in; a context of another rate is another graph, and its sound comes back as if the user had
 *   said it. Chromium and Safari take all that the device plays, whichever context it came from.
 * - Firefox refuses to connect a microphone to a context of another rate.
 * - iOS has one rate for all; contexts that ask for others have stuttered there.
 * - One path is tested instead of four. It costs half a percent of a core.
 *
 * The microphone is opened before the context: with a headset the device's rate changes then, and
 * a page that listens may sound without a click.
 *
 * Browsers stop a context that was not begun by a gesture, and iOS interrupts one for a phone call.
 * It goes on as soon as the browser lets it: at once, at the next gesture, or in front again.
 */

import { soundSystemError } from './sound-error.js';

const GESTURES = ['pointerdown', 'pointerup', 'touchend', 'keydown', 'visibilitychange'];

/** @typedef {{ context: AudioContext, users: number, stop: AbortController }} Shared */

/** @type {Shared | null} */
let shared = null;

/**
 * The context, with one user more. Each `joinContext` wants its `leaveContext`.
 * @throws {import('./sound-error.js').SoundError}
 */
export function joinContext() {
  shared ??= open();
  shared.users++;
  return shared.context;
}

/** The last who leaves closes it. */
export async function leaveContext() {
  if (!shared || --shared.users > 0) return;
  const { context, stop } = shared;
  shared = null;
  stop.abort();
  await context.close();
}

/**
 * A worklet node in the shared context, not connected yet.
 * @param {AudioContext} context
 * @param {string} file beside this one
 * @param {string} name as registered there
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

/** @returns {Shared} */
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
 * @param {AudioContext} context
 * @param {AbortSignal} signal
 */
function keepRunning(context, signal) {
  // A refusal needs no answer: the next gesture asks again.
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
