/**
 * A transcript as a file: what was heard, with times, as text, Markdown or JSON. Pure, but for the
 * time zone of the machine.
 */

import { heardText } from './heard-words.js';

/** @import { ConversationRecord } from './archive.js' */
/** @import { Tool, Turn } from './conversation.js' */

/** The format of a saved transcript. @typedef {'text' | 'markdown' | 'json'} Format */

/**
 * Extension and content type by format.
 *
 * @type {Readonly<Record<Format, { extension: string, type: string }>>}
 */
export const FORMATS = {
  text: { extension: 'txt', type: 'text/plain' },
  markdown: { extension: 'md', type: 'text/markdown' },
  json: { extension: 'json', type: 'application/json' },
};

/** The common part of text and Markdown: the form of each piece. */
const STYLES = {
  text: {
    heading: (/** @type {string} */ words) => `${words}\n\n`,
    line: (/** @type {string} */ at, /** @type {string} */ who, /** @type {string} */ words) =>
      `${at} ${who}: ${words}\n`,
    tool: (/** @type {string} */ at, /** @type {string} */ words) => `${at} ${words}\n`,
    plain: (/** @type {string} */ words) => words,
  },
  markdown: {
    heading: (/** @type {string} */ words) => `## ${words}\n\n`,
    line: (/** @type {string} */ at, /** @type {string} */ who, /** @type {string} */ words) =>
      `- ${at} **${who}:** ${words}\n`,
    tool: (/** @type {string} */ at, /** @type {string} */ words) => `- ${at} *${words}*\n`,
    plain: (/** @type {string} */ words) => words.replace(/[\\`*_{}[\]<>#|~&]/g, '\\$&'),
  },
};

/**
 * Return conversations as the content of a file. An answer is written as far as it was heard;
 * `[cut off]` marks where it was cut. Conversations in which nothing was said are left out.
 *
 * @param {readonly ConversationRecord[]} records  the oldest first
 * @param {Format} format
 */
export function savedTranscript(records, format) {
  const spoken = records.filter(({ turns }) => turns.length);
  if (format === 'json') return `${JSON.stringify(asObject(spoken), null, 2)}\n`;
  const style = STYLES[format];
  return spoken
    .map(({ beganMs, turns }) => {
      const heading = style.heading(`Conversation of ${day(beganMs)} ${time(beganMs)}`);
      return heading + turns.flatMap((turn) => lines(turn, style)).join('');
    })
    .join('\n');
}

/** Return the day of a time, such as `2026-03-09`. @param {number} ms */
function day(ms) {
  const date = new Date(ms);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map(twoDigits).join('-');
}

/** Return the time of day in this time zone, such as `09:05:00`. @param {number} ms */
export function time(ms) {
  const date = new Date(ms);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
}

/** Return a number with two digits at least. @param {number} number */
function twoDigits(number) {
  return String(number).padStart(2, '0');
}

/**
 * Return the lines of a turn: its calls of tools, the words for its pictures, then its words.
 *
 * @param {Turn} turn
 * @param {typeof STYLES['text']} style
 */
function lines(turn, { line, tool, plain }) {
  const { heard, rest } = heardText(turn);
  const words = plain(heard.trim().replace(/\s*\n\s*/g, ' '));
  const cut = turn.interrupted && rest.trim() ? ' [cut off]' : '';
  const who = turn.who === 'assistant' ? 'Assistant' : turn.typed ? 'You, typed' : 'You';
  const at = time(turn.atMs);
  const tools = turn.tools.map((call) => tool(at, plain(called(call))));
  const shown = (turn.pictures ?? []).map(({ alt }) => tool(at, plain(`Picture: ${alt}`)));
  return [...tools, ...shown, ...(words ? [line(at, who, words + cut)] : [])];
}

/** Return a tool call in words: its name, arguments and result. @param {Tool} tool */
function called({ name, argumentsJson, resultJson, answered }) {
  const asked = argumentsJson === undefined ? '' : ` ${argumentsJson}`;
  const result = resultJson === undefined ? '' : `: ${resultJson}`;
  return `Tool ${name}${asked}${answered ? ` answered${result}` : ' did not answer'}`;
}

/**
 * Return conversations as an object for JSON, with times in UTC.
 *
 * @param {readonly ConversationRecord[]} records
 */
function asObject(records) {
  return {
    format: 'sonic-voice transcript',
    version: 1,
    conversations: records.map(({ beganMs, voice, turns }) => ({
      began: new Date(beganMs).toISOString(),
      voice,
      turns: turns.map((turn) => {
        const { heard, rest } = heardText(turn);
        return {
          at: new Date(turn.atMs).toISOString(),
          speaker: turn.who,
          typed: turn.typed,
          text: heard.trim(),
          cut_off: turn.interrupted && rest.trim() !== '',
          response_ms: turn.responseMs,
          tools: turn.tools.map(({ name, argumentsJson, resultJson, answered }) => ({
            ...{ name, answered },
            ...(argumentsJson !== undefined && { arguments: parsed(argumentsJson) }),
            ...(resultJson !== undefined && { result: parsed(resultJson) }),
          })),
          ...(turn.pictures && { pictures: turn.pictures.map(({ alt }) => ({ alt })) }),
        };
      }),
    })),
  };
}

/** Return the value of a JSON text, or the text itself if it is none. @param {string} json */
function parsed(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return json;
  }
}
