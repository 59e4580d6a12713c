/**
 * Errors of devices, with messages for the user.
 *
 * Browsers report them by a `DOMException` whose name is specified and whose text is not. The name
 * is kept; message and hint are our own.
 */

/** Name of an error of the network, rather than of a device. */
export const UNREACHED = 'NetworkError';

/**
 * An error of a device. `name` is that of the browser's error, `message` says what happened, `hint`
 * what to do now.
 */
export class SoundError extends Error {
  /**
   * @param {string} name
   * @param {string} message
   * @param {string} hint
   * @param {{ cause?: unknown }} [options]
   */
  constructor(name, message, hint, options) {
    super(message, options);
    this.name = name;
    this.hint = hint;
  }
}

/**
 * Message and hint by the name of an error of `getUserMedia`.
 *
 * @type {Record<string, [string, string]>}
 */
const REFUSALS = {
  NotAllowedError: [
    'The microphone is not allowed for this page.',
    'Allow it at the address bar, and for the browser in the system settings. Then try again.',
  ],
  SecurityError: [
    'The microphone is not allowed for this page.',
    'The page around this one must allow it: <iframe allow="microphone">.',
  ],
  NotFoundError: ['There is no microphone.', 'Connect one and try again.'],
  OverconstrainedError: [
    'The chosen microphone is not there any more.',
    'Connect it again, or choose another.',
  ],
  NotReadableError: [
    'The microphone cannot be read.',
    'Close other programs that use it, or connect it again. Then try again.',
  ],
  AbortError: ['The microphone did not start.', 'Connect it again, or choose another.'],
};

/** Return the error for a microphone. @param {unknown} error  thrown by `getUserMedia` */
export function microphoneError(error) {
  const name = error instanceof Error ? error.name : 'UnknownError';
  const [message, hint] = REFUSALS[name] ?? [
    'The microphone could not be opened.',
    'Reload the page and try again.',
  ];
  return new SoundError(name, message, hint, { cause: error });
}

/** Return the error for a page without `navigator.mediaDevices`. */
export function insecurePage() {
  return new SoundError(
    'SecurityError',
    'This page may not use the microphone: it did not come over a secure connection.',
    'Open it over https, or on the same machine as localhost.',
  );
}

/**
 * Return the error for the sound system of the browser.
 *
 * @param {unknown} error  thrown by `AudioContext` or its worklets
 */
export function soundSystemError(error) {
  const name = error instanceof Error ? error.name : 'UnknownError';
  if (name === 'AbortError') {
    // A worklet could not be fetched from the server that the page's modules came from.
    const [message, hint] = ['The server cannot be reached.', 'Check the network and try again.'];
    return new SoundError(UNREACHED, message, hint, { cause: error });
  }
  return new SoundError(
    name,
    'The sound of this page could not be started.',
    'Reload the page. If it stays so, update the browser, and check that a loudspeaker is there.',
    { cause: error },
  );
}

/** Return the error for a loudspeaker. @param {unknown} error  thrown by `setSinkId` */
export function loudspeakerError(error) {
  return new SoundError(
    error instanceof Error ? error.name : 'UnknownError',
    'The chosen loudspeaker cannot be used.',
    'Connect it again, or choose another.',
    { cause: error },
  );
}
