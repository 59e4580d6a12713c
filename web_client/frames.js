/**
 * The binary frames: sound, both ways, with nothing encoded.
 *
 *     to the server   0x01 00 | samples
 *     to the page     0x02 00 | epoch u16 | turn u32 | start u32 | samples
 *
 * Numbers are little-endian, samples are signed 16-bit little-endian of one channel. Headers are a
 * multiple of two bytes long, so that an `Int16Array` lies over the samples without a copy; it has
 * the byte order of the machine, which is little-endian wherever browsers run.
 */

const VOICE = 1;
const ANSWER = 2;
const VOICE_HEADER_BYTES = 2;
const ANSWER_HEADER_BYTES = 12;

const EPOCHS = 1 << 16;

/**
 * Sound of an answer. `start`: samples of this turn before it.
 *
 * @typedef {{ epoch: number, turn: number, start: number, samples: Int16Array }} Answer
 */

/**
 * The frame for the user's sound. The samples are copied.
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
 * What the server sent; null: it cannot be read. The samples are a view of `frame`.
 *
 * @param {ArrayBuffer} frame
 * @returns {Answer | null}
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
 * Whether `epoch` comes after `other`. They are counted modulo 65,536, and no two that are alive
 * at once are half of that apart.
 *
 * @param {number} epoch
 * @param {number} other
 */
export function isLater(epoch, other) {
  const ahead = (epoch - other + EPOCHS) % EPOCHS;
  return ahead > 0 && ahead < EPOCHS / 2;
}
