/**
 * The pictures of a conversation: how they arrive, and which are kept. Pure.
 *
 * A picture is announced by a message with its size, and comes in pieces. After a lost connection
 * the server sends pieces again: one that does not continue a picture changes nothing.
 */

import { pictureReceived } from './messages.js';

/** @import { ShownPicture, Turn } from './conversation.js' */
/** @import { Effect } from './link-effects.js' */
/** @import { Picture, PictureArrived, PictureData } from './messages.js' */

/** Media types that are shown. Nothing in such a file is run. */
const MEDIA_TYPES = ['image/png', 'image/jpeg', 'image/webp'];

/** Maximum size of a picture, in bytes, as the server has it. */
export const MAX_PICTURE_BYTES = 4 * 1024 * 1024;

/** Number of pictures of one conversation that are kept, the newest ones. */
export const PICTURES_KEPT = 8;

/**
 * What was received of a picture.
 *
 * @typedef {{ turn: number, bytes: number, mediaType: string, received: number,
 *   pieces: Uint8Array<ArrayBuffer>[] }} Incoming
 */

/** The pictures that were announced in one conversation. */
export class IncomingPictures {
  /** @type {Map<number, Incoming>} */
  #incoming = new Map();

  /**
   * Expect the bytes of a picture. One that cannot be shown is not expected, and stays its words.
   *
   * @param {Picture} announced
   */
  expect({ seq, turn, media_type: mediaType, bytes }) {
    if (!MEDIA_TYPES.includes(mediaType) || !(bytes > 0 && bytes <= MAX_PICTURE_BYTES)) return;
    this.#incoming.set(seq, { turn, bytes, mediaType, received: 0, pieces: [] });
  }

  /**
   * Take a piece of a picture, and report how much of it is here, so that the server sends more.
   *
   * @param {PictureData} piece
   * @returns {Effect[]}
   */
  take({ picture, start, data }) {
    const one = this.#incoming.get(picture);
    if (!one) return [];
    const wasWhole = one.received === one.bytes;
    const piece = start === one.received ? decoded(data) : null;
    if (piece && one.received + piece.length <= one.bytes) {
      one.pieces.push(piece);
      one.received += piece.length;
    }
    /** @type {Effect} */
    const report = { do: 'send', frame: pictureReceived(picture, one.received) };
    if (wasWhole || one.received < one.bytes) return [report];
    const blob = new Blob(one.pieces.splice(0), { type: one.mediaType });
    const { turn } = one;
    return [report, { do: 'deliver', message: { type: 'picture_arrived', turn, picture, blob } }];
  }
}

/** Return the bytes of a base64 text; null if it is none, or empty. @param {string} data */
function decoded(data) {
  try {
    return data ? Uint8Array.from(atob(data), (character) => character.charCodeAt(0)) : null;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return null;
  }
}

/**
 * Return the turns with a picture that has arrived. Of the oldest ones only the words are kept.
 *
 * @param {readonly Turn[]} turns
 * @param {PictureArrived} arrived
 * @returns {readonly Turn[]}
 */
export function withPicture(turns, { turn: number, picture, blob }) {
  const put = (/** @type {ShownPicture} */ one) => (one.id === picture ? { ...one, blob } : one);
  const all = turns.map((turn) =>
    turn.number === number && turn.pictures
      ? { ...turn, pictures: turn.pictures.map(put) }
      : turn,
  );
  const there = all.flatMap(({ pictures = [] }) => pictures.filter((one) => one.blob));
  const dropped = new Set(there.slice(0, -PICTURES_KEPT));
  return all.map((turn) => withoutPictures(turn, (one) => dropped.has(one)));
}

/**
 * Return a turn of whose pictures only the words are kept; the same one if nothing is dropped.
 *
 * @param {Turn} turn
 * @param {(picture: ShownPicture) => boolean} [drops]  which pictures; without it all
 * @returns {Turn}
 */
export function withoutPictures(turn, drops = () => true) {
  const isDropped = (/** @type {ShownPicture} */ one) => one.blob !== undefined && drops(one);
  if (!turn.pictures?.some(isDropped)) return turn;
  const pictures = turn.pictures.map((one) =>
    isDropped(one) ? { id: one.id, alt: one.alt } : one,
  );
  return { ...turn, pictures };
}
