/**
 * Close codes: why a conversation ended, as a sentence with the next step.
 *
 * When the server closes a connection with a code of the table, the conversation is over. Every
 * other end is a lost connection (browsers report 1006), which is resumed; with `RESTART_CODE` the
 * server asks for that. The reasons of the table
 * are shown rather than those that were received, because a proxy uses 1001 and 1011, too, with
 * reasons of its own.
 */

/**
 * The end of a conversation. `again`: whether trying again at once may help.
 *
 * @typedef {{ code: number, reason: string, again: boolean }} Ending
 */

/** Code that browsers report for a connection that was lost. */
const LOST_CODE = 1006;

/** Code of a server that is stopping, and of a browser or a proxy that goes away. */
export const STOPPING_CODE = 1001;

/** Code of a server that restarts: the page connects again, and another server continues. */
export const RESTART_CODE = 1012;

/** Code of a conversation that the content filter ended. */
export const FILTERED_CODE = 4034;

/** First code that applications may define; proxies do not use them. */
const OURS_FROM = 4000;

const AGAIN = true;

/** The table of README.md. @type {[code: number, reason: string, again?: boolean][]} */
const TABLE = [
  [1000, 'The conversation is over.'],
  [STOPPING_CODE, 'The server is stopping. Try again in a minute.', AGAIN],
  [1009, 'A message was too big. Reload the page.'],
  [1011, 'Something went wrong on the server. Try again.', AGAIN],
  [4000, 'A message could not be read. Reload the page.'],
  [4001, 'A message is of no known type. Reload the page.'],
  [4002, 'A sound frame could not be read. Reload the page.'],
  [4003, 'A message came out of order. Reload the page.'],
  [4004, 'No hello came in time. Reload the page.', AGAIN],
  [4005, 'Page and server are of different versions. Reload the page.'],
  [4006, 'This voice or language is not offered here. Choose another.'],
  [4010, 'A token is needed. Sign in again.'],
  [4011, 'The token has expired. Sign in again.'],
  [4012, 'The token is not one of ours. Sign in again.'],
  [4013, 'This site may not use this server. Its owner can allow it.'],
  [4014, 'The conversation is no longer kept. Start a new one.'],
  [4015, 'Tokens cannot be checked just now. Try again in a minute.'],
  [4020, 'The server is full. Try again in a minute.'],
  [4021, 'You are talking already. End the other conversation.'],
  [4022, 'Too many conversations from your network. Try later.'],
  [4023, 'Too much came at once. Reload the page.'],
  [4024, 'The network is too slow for speech. Try another one.', AGAIN],
  [4025, 'Nobody spoke for a while. Start again to go on.'],
  [4026, 'The time for one conversation is over. Start a new one.'],
  [4027, 'The conversation goes on in another connection.'],
  [4030, 'The voice service is busy. Try again in a minute.'],
  [4031, 'The voice service failed. Try again in a minute.'],
  [4032, 'The voice service ended the conversation at its time limit. Start a new one.'],
  [4033, 'The voice service refused this server. Its operator can find out why.'],
  [
    FILTERED_CODE,
    'The content filter of the voice service ended it. Start again and say it differently.',
  ],
  [4035, 'The voice service closed the connection. Start a new conversation.'],
];

/** The ends of a conversation by close code. @type {ReadonlyMap<number, Ending>} */
export const CLOSES = new Map(
  TABLE.map(([code, reason, again = false]) => [code, Object.freeze({ code, reason, again })]),
);

export const GOODBYE = /** @type {Ending} */ (CLOSES.get(1000));
export const STOPPING = /** @type {Ending} */ (CLOSES.get(STOPPING_CODE));
export const UNREADABLE = /** @type {Ending} */ (CLOSES.get(4000));

/** The first connection failed. @type {Ending} */
export const UNREACHABLE = Object.freeze({
  code: LOST_CODE,
  reason: 'The server cannot be reached. Check the network and try again.',
  again: true,
});

/** The browser has no network at all. @type {Ending} */
export const OFFLINE = Object.freeze({
  code: LOST_CODE,
  reason: 'This device is offline. Connect it to a network and try again.',
  again: true,
});

/** The server answers, but no WebSocket can be opened. @type {Ending} */
export const NO_UPGRADE = Object.freeze({
  code: LOST_CODE,
  reason:
    'The server answers, but a WebSocket cannot be opened. A proxy in between may not pass on ' +
    'upgrades (status 400 or 426); the operator can allow them. Or try another network.',
  again: true,
});

/** A proxy answers, and the server behind it does not. @type {Ending} */
export const NO_SERVER = Object.freeze({
  code: LOST_CODE,
  reason: 'A proxy answers, but the server behind it does not. Try again in a minute.',
  again: true,
});

/** The connection was lost for longer than the server keeps a conversation. @type {Ending} */
export const LOST = Object.freeze({
  code: LOST_CODE,
  reason: 'The connection was lost and did not come back. Start a new conversation.',
  again: true,
});

/** The application provided no token. @type {Ending} */
export const NO_TOKEN = Object.freeze({
  code: 0,
  reason: 'A token could not be fetched. Sign in again, or try later.',
  again: true,
});

/** The application provided no address. @type {Ending} */
export const NO_ADDRESS = Object.freeze({
  code: 0,
  reason: 'The address of the server could not be fetched. Try again in a minute.',
  again: true,
});

/** An error in the page itself. @type {Ending} */
export const BROKEN = Object.freeze({
  code: 0,
  reason: 'Something went wrong in the page. Reload it.',
  again: false,
});

/**
 * Return what the close of a connection means.
 *
 * @param {number} code
 * @param {string} reason  the reason that was received, which is used only for an unknown code of a
 *   later version of the server
 * @returns {Ending | null}  null if the connection was lost and can be resumed
 */
export function ending(code, reason = '') {
  const known = CLOSES.get(code);
  if (known || code < OURS_FROM) return known ?? null;
  return { code, reason: reason || 'The server ended it. Reload the page.', again: false };
}

/** An error of a conversation: `message` says what went wrong, `hint` what to do next. */
export class VoiceError extends Error {
  /**
   * @param {Ending} ending
   * @param {ErrorOptions} [options]
   */
  constructor({ code, reason, again }, options) {
    const [what, ...next] = reason.split(/(?<=\.) /);
    super(what, options);
    this.name = 'VoiceError';
    this.hint = next.join(' ');
    /** The close code; 0 for an error in the page itself. */
    this.code = code;
    /** Whether trying again at once may help. */
    this.again = again;
  }
}

/**
 * Return the end of a conversation that an error means. Errors of devices have a hint.
 *
 * @param {unknown} error
 * @returns {Ending}
 */
export function endingOf(error) {
  if (error instanceof Error && 'hint' in error) {
    return { code: 0, reason: `${error.message} ${error.hint}`, again: true };
  }
  return BROKEN;
}
