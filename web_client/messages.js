/**
 * The text frames: JSON objects with a `type`. README.md describes each of them, protocol.json has
 * an example of each.
 *
 * Messages of the page are encoded here so that the server accepts them: counts are whole numbers,
 * texts are well-formed and within the limits. A message of the server is only checked to be an
 * object with a type; unknown types are ignored where messages are handled. `Ready` and `Alive`
 * belong to a connection, `Numbered` messages to the conversation. The data of a picture follows
 * its announcement without numbers of its own.
 */

/** Version of the protocol between page and bridge. */
export const VERSION = 1;
/** WebSocket subprotocol that both sides must agree on. */
export const SUBPROTOCOL = `sonic-voice.v${VERSION}`;

/** Maximum length of a typed turn, in characters. */
export const SAID_CHARACTERS = 2000;
/** Maximum length of the reason why a tool has failed, in characters. */
const ERROR_CHARACTERS = 500;
/** Maximum size of a text frame, in bytes. */
const TEXT_BYTES = 8 * 1024;

/**
 * `VoiceChoice`: a voice that the page may choose, with the locales that it was made for.
 *
 * `PictureArrived`: what the page makes of the data of a picture, once it is whole. `picture`: the
 * `seq` of its announcement.
 *
 * `ToolSpec`: a tool that the page carries out, with the JSON schema of its arguments.
 *
 * @typedef {{ id: string, languages: string[] }} VoiceChoice
 * @typedef {{ name: string, description: string,
 *   schema: import('./json-schema.js').Schema }} ToolSpec
 * @typedef {{ type: 'ready', version: number, resume: string, resumed: boolean, keep_s: number,
 *   alive_s?: number, stored?: boolean, history?: number, epoch: number, voice: string,
 *   voices?: VoiceChoice[], page_tools?: ToolSpec[], typing: boolean,
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
 * @typedef {{ seq: number, type: 'tool_progress', turn: number, tool_use: string, name: string,
 *   text: string }} ToolProgress
 * @typedef {{ seq: number, type: 'tool_held', turn: number, tool_use: string,
 *   name: string }} ToolHeld
 * @typedef {{ seq: number, type: 'picture', turn: number, tool_use: string, alt: string,
 *   media_type: string, bytes: number }} Picture
 * @typedef {{ type: 'picture_data', picture: number, start: number, data: string }} PictureData
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
 *   | { seq: number, type: 'page_tool', id: string, name: string, arguments: object }
 *   | Flush | Notice | UserText | AssistantText | ToolCall | ToolProgress | ToolHeld
 *   | ToolAnswered | Picture | Heard} Numbered
 * @typedef {{ type: 'picture_arrived', turn: number, picture: number, blob: Blob }} PictureArrived
 * @typedef {Ready | Alive | PictureData | PictureArrived | Numbered} ServerMessage
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
 * A message of an earlier conversation.
 *
 * @typedef {{ role: 'user' | 'assistant', text: string }} HistoryMessage
 */

/**
 * Encode the first message of a new conversation.
 *
 * @param {{ token: string, voice: string, language: string,
 *   history?: readonly HistoryMessage[] }} options  empty ones are left out. Of the history the
 *   newest messages are sent that fit into a text frame
 */
export function hello({ token, voice, language, history = [] }) {
  const given = Object.entries({ token, voice, language }).filter(([, value]) => value);
  const message = { type: 'hello', version: VERSION, ...Object.fromEntries(given) };
  const bytes = (/** @type {object} */ value) =>
    new TextEncoder().encode(JSON.stringify(value)).length;
  let left = TEXT_BYTES - bytes({ ...message, history: [] });
  /** @type {HistoryMessage[]} */
  const sent = [];
  for (const { role, text } of [...history].reverse()) {
    const one = { role, text: wellFormed(text) };
    left -= bytes(one) + 1;
    if (left < 0) break;
    sent.unshift(one);
  }
  return JSON.stringify(sent.length ? { ...message, history: sent } : message);
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
  const text = wellFormed(said).trim();
  const message = JSON.stringify({ type: 'say', text });
  const fits = [...text].length <= SAID_CHARACTERS;
  return text && fits && new TextEncoder().encode(message).length <= TEXT_BYTES ? message : null;
}

/**
 * Encode the answer to a call of a tool of the page.
 *
 * @param {string} id  the id of the call
 * @param {{ result: unknown } | { error: string }} answer
 * @returns {string}  an error instead of a result that is too long or that JSON cannot express
 */
export function toolResult(id, answer) {
  const error = (/** @type {string} */ text) =>
    JSON.stringify({ type: 'tool_result', id, error: wellFormed(text).slice(0, ERROR_CHARACTERS) });
  if ('error' in answer) return error(answer.error || 'The tool has failed.');
  try {
    const result = answer.result ?? null;
    const message = wellFormed(JSON.stringify({ type: 'tool_result', id, result }));
    if (new TextEncoder().encode(message).length <= TEXT_BYTES) return message;
    return error('The result is too long.');
  } catch (cause) {
    return error(`The result cannot be sent: ${cause}`);
  }
}

/**
 * Encode a report of how much of a picture was received.
 *
 * @param {number} picture  the `seq` of its announcement
 * @param {number} bytes  from its beginning
 */
export function pictureReceived(picture, bytes) {
  return JSON.stringify({ type: 'picture_received', picture, bytes });
}

/** Return a text in which half of a surrogate pair is replaced. @param {string} text */
function wellFormed(text) {
  return new TextDecoder().decode(new TextEncoder().encode(text));
}

/** Message that cuts off the answer. */
export const INTERRUPT = JSON.stringify({ type: 'interrupt' });
/** Message that ends the conversation. */
export const BYE = JSON.stringify({ type: 'bye' });
