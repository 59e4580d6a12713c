/** The sentences about the server's connection to the voice service. Pure. */

/** @import { Numbered } from './messages.js' */

/** Notices to the user when the server asks the page to connect again. */
export const RESTARTING = 'The server is restarting. The conversation goes on in a moment.';

/**
 * Return the sentence to show for a message about the server's connection to the voice service.
 * Only the first of several attempts has one.
 *
 * @param {Numbered} message
 */
export function noticeOf(message) {
  if (message.type === 'renewed') return 'The voice service is back. The conversation goes on.';
  if (message.type !== 'reconnecting' || message.attempt > 1) return '';
  return 'The voice service cannot be reached just now. What you say is kept.';
}
