/**
 * The binary frames: uncompressed sound in both directions.
 *
 *     to the server   0x01 00 | samples
 *     to the page     0x02 00 | epoch u16 | turn u32 | start u32 | samples
 *
 * Numbers are little-endian. Samples are signed 16-bit little-endian, one channel. The length of a
 * header is a multiple of two bytes, so that an `Int16Array` can be created over the samples
 * without copying them. It has the byte order of the machine, which is little-endian on all that
 * browsers run on.
 */

const VOICE = 1;
const ANSWER = 2;
const VOICE_HEADER_BYTES = 2;
const ANSWER_HEADER_BYTES = 12;

/** Modulus of epochs. */
const EPOCHS = 1 << 16;

/**
 * A frame with sound of an answer. `start`: samples of this turn before it.
 *
 * @typedef {{ epoch: number, turn: number, start: number, samples: Int16Array }} Answer
 */

/**
 * Encode a frame with the user's sound. The samples are copied.
 *
 * @param {Int16Array} samples
 * @returns {ArrayBuffer}
 */
export function voiceFrame(samples) {
  const frame = new ArrayBuffer(VOICE_HEADER_BYTES + samples.byteLength);
  new DataView(frame).setUint8(0, VOICE);
  new Int16Array(frame, VOICE_HEADER_BYTES).set(samples);
  return frame;
}

/**
 * Decode a frame of the server.
 *
 * @param {ArrayBuffer} frame
 * @returns {Answer | null}  null if it cannot be decoded; its samples are a view of `frame`
 */
export function readAnswer(frame) {
  if (frame.byteLength < ANSWER_HEADER_BYTES || frame.byteLength % 2) return null;
  const header = new DataView(frame);
  if (header.getUint8(0) !== ANSWER || header.getUint8(1) !== 0) return null;
  return {
    epoch: header.getUint16(2, true),
    turn: header.getUint32(4, true),
    start: header.getUint32(8, true),
    samples: new Int16Array(frame, ANSWER_HEADER_BYTES),
  };
}

/**
 * Return whether `epoch` comes after `other`. Epochs are counted modulo 65,536, and those in use at
 * the same time differ by less than half of that.
 *
 * @param {number} epoch
 * @param {number} other
 */
export function isLater(epoch, other) {
  const ahead = (epoch - other + EPOCHS) % EPOCHS;
  return ahead > 0 && ahead < EPOCHS / 2;
}
