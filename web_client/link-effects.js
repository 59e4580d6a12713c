/** Actions that a link between page and bridge (`link.js`) asks of its owner. Types only. */

/** @import { Ending } from './closing.js' */
/** @import { Answer } from './frames.js' */
/** @import { ServerMessage } from './messages.js' */

/**
 * What the owner of the socket has to do:
 *
 * - `open`: open a socket, and call `opening` and `opened`; `fresh`: with a new token
 * - `drop`: abandon the socket; the server keeps the conversation
 * - `close`: close the socket with 1000; the server ends the conversation
 * - `send`: send a frame
 * - `flush`: silence the loudspeaker; it comes before all other effects of a message
 * - `play`: play a frame
 * - `deliver`: pass on a message
 * - `notice`: show a sentence to the user
 * - `end`: the conversation is over; no effect follows
 *
 * @typedef {{ do: 'open', fresh: boolean } | { do: 'drop' } | { do: 'close' }
 *   | { do: 'send', frame: string | ArrayBuffer }
 *   | { do: 'flush', epoch: number } | { do: 'play', answer: Answer }
 *   | { do: 'deliver', message: ServerMessage } | { do: 'notice', text: string }
 *   | { do: 'end', ending: Ending }} Effect
 */

export {};
