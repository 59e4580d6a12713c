/**
 * The text frames: JSON objects with a `type`. README.md describes each of them, protocol.json has
 * an example of each.
 *
 * Messages of the page are encoded here so that the server accepts them: counts are whole numbers,
 * texts are well-formed and within the limits. A message of the server is only checked to be an
 * object with a type; unknown types are ignored where messages are handled. `Ready` and `Alive`
 * belong to a connection, `Numbered` messages to the conversation.
 */

/** Version of the protocol between page and bridge. */
export const VERSION = 1;
/** WebSocket subprotocol that both sides must agree on. */
export const SUBPROTOCOL = `sonic-voice.v${VERSION}`;

/** Maximum length of a typed turn, in characters. */
export const SAID_CHARACTERS = 2000;
/** Maximum size of a text frame, in bytes. */
const TEXT_BYTES = 8 * 1024;

/**
 * @typedef {{ type: 'ready', version: number, resume: string, resumed: boolean, keep_s: number,
 *   alive_s?: number, stored?: boolean, epoch: number, voice: string, typing: boolean,
 *   input: { rate_hz: number }, output: { rate_hz: number } }} Ready
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
 *   | { seq: number, type: 'reconnecting', attempt: number, retry_in_s: number }
 *   | { seq: number, type: 'renewed', gap_ms: number, replayed_ms: number }
 *   | Flush | Notice | UserText | AssistantText | ToolCall | ToolAnswered | Heard} Numbered
 * @typedef {Ready | Alive | Numbered} ServerMessage
 */

/**
 * A position in the sound of a turn: the number of its samples before it. Turn 0: before all sound.
 *
 * @typedef {{ turn: number, samples: number }} Position
 */

/**
 * Decode a message of the server.
 *
 * @param {string} text
 * @returns {ServerMessage | null}  null if it cannot be decoded
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
 * Encode the first message of a new conversation.
 *
 * @param {{ token: string, voice: string, language: string }} options  empty ones are left out
 */
export function hello({ token, voice, language }) {
  const given = Object.entries({ token, voice, language }).filter(([, value]) => value);
  return JSON.stringify({ type: 'hello', version: VERSION, ...Object.fromEntries(given) });
}

/**
 * Encode the first message of a connection that resumes a conversation.
 *
 * @param {string} resume  the resume token, from `ready`
 * @param {number} seen  the last `seq` that was received
 * @param {Position} received  the position up to which sound was received
 */
export function helloAgain(resume, seen, received) {
  return JSON.stringify({ type: 'hello', version: VERSION, resume, seen, received });
}

/**
 * Encode a report of playback.
 *
 * @param {{ epoch: number, turn: number, samples: number }} report  `samples` may be a fraction or
 *   negative, because it is computed from clocks; it is rounded down, to 0 at least
 */
export function played({ epoch, turn, samples }) {
  return JSON.stringify({ type: 'played', epoch, turn, samples: Math.max(0, Math.floor(samples)) });
}

/**
 * Encode a typed turn. Half of a surrogate pair is replaced by U+FFFD.
 *
 * @param {string} said
 * @returns {string | null}  null if it is empty or too long
 */
export function say(said) {
  const text = new TextDecoder().decode(new TextEncoder().encode(said)).trim();
  const message = JSON.stringify({ type: 'say', text });
  const fits = [...text].length <= SAID_CHARACTERS;
  return text && fits && new TextEncoder().encode(message).length <= TEXT_BYTES ? message : null;
}

/** Message that cuts off the answer. */
export const INTERRUPT = JSON.stringify({ type: 'interrupt' });
/** Message that ends the conversation. */
export const BYE = JSON.stringify({ type: 'bye' });
