/**
 * The text frames: JSON objects with a `type`. README.md describes each, protocol.json has an
 * example of each.
 *
 * What the page says is written here so that the server takes it: counts are whole, texts are well
 * formed and within bounds. What the server says is believed as it is, but for being an object with
 * a type; a type that is not known here is left aside by whoever reads it. `Ready` and `Alive` are
 * of a connection, what is `Numbered` is of the conversation.
 */

export const VERSION = 1;
export const SUBPROTOCOL = `sonic-voice.v${VERSION}`;

/** The longest typed turn, in characters, and the longest text frame, in bytes. */
export const SAID_CHARACTERS = 2000;
const TEXT_BYTES = 8 * 1024;

/**
 * @typedef {{ type: 'ready', version: number, resume: string, resumed: boolean, keep_s: number,
 *   alive_s?: number, epoch: number, voice: string, typing: boolean, input: { rate_hz: number },
 *   output: { rate_hz: number } }} Ready
 * @typedef {{ type: 'alive' }} Alive
 * @typedef {'SPECULATIVE' | 'FINAL'} Stage
 * @typedef {{ seq: number, type: 'flush', epoch: number }} Flush
 * @typedef {{ seq: number, type: 'notice', text: string }} Notice
 * @typedef {{ seq: number, type: 'user_text', turn: number, text: string,
 *   typed: boolean }} UserText
 * @typedef {{ seq: number, type: 'assistant_text', turn: number, block: number, text: string,
 *   stage: Stage, starts_at?: number }} AssistantText
 * @typedef {{ seq: number, type: 'tool_call', turn: number, tool_use: string, name: string,
 *   arguments_json?: string }} ToolCall
 * @typedef {{ seq: number, type: 'tool_answered', turn: number, tool_use: string, name: string,
 *   result_json?: string }} ToolAnswered
 * @typedef {{ seq: number, type: 'heard', turn: number, heard_ms: number, heard: string,
 *   planned: string }} Heard
 * @typedef {{ seq: number, type: 'listening' }
 *   | { seq: number, type: 'user_speech_started', offset_ms: number }
 *   | { seq: number, type: 'user_speech_ended', offset_ms: number, detected_ms: number }
 *   | { seq: number, type: 'interrupted', turn: number }
 *   | { seq: number, type: 'turn_ended', turn: number, samples: number }
 *   | { seq: number, type: 'latency', turn: number, response_ms: number }
 *   | Flush | Notice | UserText | AssistantText | ToolCall | ToolAnswered | Heard} Numbered
 * @typedef {Ready | Alive | Numbered} ServerMessage
 */

/**
 * A place in the sound of a turn: after so many of its samples. Turn 0: before everything.
 *
 * @typedef {{ turn: number, samples: number }} Position
 */

/**
 * What the server says; null: it cannot be read.
 *
 * @param {string} text
 * @returns {ServerMessage | null}
 */
export function readMessage(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return null;
  }
  return typeof message?.type === 'string' ? message : null;
}

/**
 * The first message of a new conversation.
 *
 * @param {{ token: string, voice: string, language: string }} options  empty: none
 */
export function hello({ token, voice, language }) {
  const options = Object.entries({ token, voice, language }).filter(([, value]) => value);
  return JSON.stringify({ type: 'hello', version: VERSION, ...Object.fromEntries(options) });
}

/**
 * The first message of a connection that goes on with a conversation.
 *
 * @param {string} resume  the word that `ready` gave
 * @param {number} seen  the last `seq` that came
 * @param {Position} received  the sound that came
 */
export function helloAgain(resume, seen, received) {
  return JSON.stringify({ type: 'hello', version: VERSION, resume, seen, received });
}

/**
 * How much has sounded. `samples` may be a fraction, as clocks have it, and less than none.
 *
 * @param {{ epoch: number, turn: number, samples: number }} report
 */
export function played({ epoch, turn, samples }) {
  return JSON.stringify({ type: 'played', epoch, turn, samples: Math.max(0, Math.floor(samples)) });
}

/**
 * A typed turn; null: it is empty or too long. Half a surrogate pair becomes U+FFFD.
 *
 * @param {string} said
 */
export function say(said) {
  const text = new TextDecoder().decode(new TextEncoder().encode(said)).trim();
  const message = JSON.stringify({ type: 'say', text });
  const fits = [...text].length <= SAID_CHARACTERS;
  return text && fits && new TextEncoder().encode(message).length <= TEXT_BYTES ? message : null;
}

export const INTERRUPT = JSON.stringify({ type: 'interrupt' });
export const BYE = JSON.stringify({ type: 'bye' });
