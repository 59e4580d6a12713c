/**
 * The pictures of a conversation while they arrive. Pure.
 *
 * A picture is announced by a message with its size, and comes in pieces. After a lost connection
 * the server sends pieces again: one that does not continue a picture changes nothing.
 */

/** @import { Picture, PictureData } from './messages.js' */

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
   * Take a piece of a picture.
   *
   * @param {PictureData} piece
   * @returns {{ turn: number, received: number, blob: Blob | null } | null}  how much of it was
   *   received, and the picture when it is whole for the first time; null if it is not expected
   */
  take({ picture, start, data }) {
    const one = this.#incoming.get(picture);
    if (!one) return null;
    const { turn, bytes, mediaType, pieces } = one;
    const piece = start === one.received ? decoded(data) : null;
    if (!piece || one.received + piece.length > bytes) {
      return { turn, received: one.received, blob: null };
    }
    pieces.push(piece);
    one.received += piece.length;
    if (one.received < bytes) return { turn, received: one.received, blob: null };
    one.pieces = [];
    return { turn, received: bytes, blob: new Blob(pieces, { type: mediaType }) };
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
