/**
 * Why a conversation is over, in words with the next step, and what may be gone on with.
 *
 * The server closes a connection with a code of the table, and the conversation is over. Every
 * other end is a lost connection (browsers say 1006), which is resumed. The words of the table are
 * shown, not those that came: a proxy closes with 1001 and 1011, too, and in words of its own.
 */

/**
 * `again`: whether trying again at once may help.
 *
 * @typedef {{ code: number, reason: string, again: boolean }} Ending
 */

const LOST_CODE = 1006;
const OURS_FROM = 4000;

const AGAIN = true;

/** @type {[code: number, reason: string, again?: boolean][]} */
const TABLE = [
  [1000, 'The conversation is over.'],
  [1001, 'The server is stopping. Try again in a minute.', AGAIN],
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
  [4020, 'Too many people are talking. Try again in a minute.'],
  [4021, 'You are talking already. End the other conversation.'],
  [4022, 'Too many conversations from your network. Try later.'],
  [4023, 'Too much came at once. Reload the page.'],
  [4024, 'The network is too slow for speech. Try another one.', AGAIN],
  [4025, 'Nobody spoke for a while. Start again to go on.'],
  [4026, 'The time for one conversation is over. Start a new one.'],
  [4027, 'The conversation goes on in another connection.'],
  [4030, 'The voice service is busy. Try again in a minute.'],
  [4031, 'The voice service failed. Try again in a minute.'],
  [4032, 'The voice service ends each conversation after 8 minutes. Start a new one.'],
];

/** @type {ReadonlyMap<number, Ending>} */
export const CLOSES = new Map(
  TABLE.map(([code, reason, again = false]) => [code, Object.freeze({ code, reason, again })]),
);

export const GOODBYE = /** @type {Ending} */ (CLOSES.get(1000));
export const UNREADABLE = /** @type {Ending} */ (CLOSES.get(4000));

/** No connection was had at all. @type {Ending} */
export const UNREACHABLE = Object.freeze({
  code: LOST_CODE,
  reason: 'The server cannot be reached. Check the network and try again.',
  again: true,
});

/** It did not come back for as long as the server keeps a conversation. @type {Ending} */
export const LOST = Object.freeze({
  code: LOST_CODE,
  reason: 'The connection was lost and did not come back. Start a new conversation.',
  again: true,
});

/** The application gave none. @type {Ending} */
export const NO_TOKEN = Object.freeze({
  code: 0,
  reason: 'A token could not be fetched. Sign in again, or try later.',
  again: true,
});

/** A mistake of ours. @type {Ending} */
export const BROKEN = Object.freeze({
  code: 0,
  reason: 'Something went wrong in the page. Reload it.',
  again: false,
});

/**
 * What it means that a connection was closed; null: it was lost, and can be resumed.
 *
 * @param {number} code
 * @param {string} reason  what the server said: shown for a code of a later server only
 * @returns {Ending | null}
 */
export function ending(code, reason = '') {
  const known = CLOSES.get(code);
  if (known || code < OURS_FROM) return known ?? null;
  return { code, reason: reason || 'The server ended it. Reload the page.', again: false };
}

/** What went wrong, in a sentence (`message`), and what to do next (`hint`). */
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
    /** The close code; 0: it is the page's own matter. */
    this.code = code;
    this.again = again;
  }
}
