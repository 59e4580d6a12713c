/** The troubles of microphone and loudspeaker that a conversation outlives, in words. Pure. */

import { endingOf } from './closing.js';

/**
 * The microphone, as far as the user is concerned: `missing` if none could be opened, `muted` if
 * the system or the device has muted it.
 *
 * @typedef {'open' | 'missing' | 'muted'} InputState
 */

const MUTED =
  'The system or the device has muted the microphone, and nothing is heard. Unmute it there.';

const STALLED =
  'The browser or the device has stopped the sound. Click the page, or choose another loudspeaker.';

/** The state of the devices. Each method returns a sentence for the user; '' if nothing changed. */
export class SoundState {
  /** @type {InputState} */
  input = 'open';
  /** True if the browser or the device has stopped the sound. */
  stalled = false;
  /** Why no microphone could be opened; null if one was. @type {unknown} */
  missing = null;

  /** Note that the microphone could not be opened. @param {unknown} error  the reason */
  beginWithout(error) {
    this.missing = error;
    this.input = 'missing';
    return `${endingOf(error).reason} Until then you can type, and hear the answers.`;
  }

  /**
   * Note that the microphone was removed.
   *
   * @param {unknown} [error]  why no other could be opened; undefined if one was
   */
  lose(error) {
    if (!error) return 'The microphone is gone. The default one is used now.';
    this.missing = error;
    this.input = 'missing';
    return `The microphone is gone. ${endingOf(error).reason}`;
  }

  /** Note that a microphone is open, and whether it is muted. @param {boolean} muted */
  hear(muted) {
    const input = muted ? 'muted' : 'open';
    const before = this.input;
    this.input = input;
    this.missing = null;
    if (before === input) return '';
    if (muted) return MUTED;
    return before === 'missing' ? 'The microphone is there now.' : 'The microphone is back.';
  }

  /** Note whether the sound stands still. @param {boolean} stalled */
  stall(stalled) {
    this.stalled = stalled;
    return stalled ? STALLED : 'The sound is back.';
  }
}
