/**
 * Which words of a turn were heard. Pure.
 *
 * The text of an answer comes before its sound, one block at a time, with the sample at which the
 * sound of the block begins. Words are assumed to be spread evenly over the sound of their block,
 * and a word counts as heard when playback has reached its middle.
 */

/** @import { Part, Turn } from './conversation.js' */

/**
 * Return the length of the beginning of an answer's text that was heard, in characters.
 *
 * @param {readonly Part[]} parts  the blocks of the answer
 * @param {number} played  the samples of the turn that were played
 * @param {(startsAt: number, text: string) => number} endOfLast  returns where the sound of the
 *   last block ends, in samples of the turn
 */
export function heardLength(parts, played, endOfLast) {
  const texts = joinableTexts(parts);
  let length = 0;
  let begin = 0;
  for (const [index, { startsAt = begin }] of parts.entries()) {
    const text = texts[index] ?? '';
    const end = parts[index + 1]?.startsAt ?? endOfLast(startsAt, text);
    begin = end;
    if (played < end || end <= startsAt) {
      return length + wordsBefore(text, (text.length * (played - startsAt)) / (end - startsAt));
    }
    length += text.length;
  }
  return length;
}

/** Return the whole text of a turn, whether it was heard or not. @param {Turn} turn */
export function wholeText({ parts }) {
  return joinableTexts(parts).join('');
}

/**
 * Return the texts of blocks such that they can be joined without separators.
 *
 * Each but the first begins with a space. Where an answer is continued on another stream of the
 * service, or after a tool call, another answer begins in its middle, and the space is missing.
 *
 * @param {readonly Pick<Part, 'text'>[]} parts
 * @returns {string[]}
 */
function joinableTexts(parts) {
  let before = '';
  return parts.map(({ text }) => {
    const isSeparate = !before || /\s$/.test(before) || !text || /^\s/.test(text);
    if (text) before = text;
    return isSeparate ? text : ` ${text}`;
  });
}

/**
 * Return the text of a turn as it was heard so far, and the rest of it. The rest of an answer that
 * was cut was never heard; that of another is still to come.
 *
 * @param {Turn} turn
 * @returns {{ heard: string, rest: string }}
 */
export function heardText(turn) {
  if (turn.interrupted && (turn.heard || turn.lost)) return { heard: turn.heard, rest: turn.lost };
  const text = wholeText(turn);
  const isWhole = turn.who === 'user' || (turn.over && !turn.interrupted);
  const length = isWhole ? text.length : turn.heardLength;
  return { heard: text.slice(0, length), rest: text.slice(length) };
}

/**
 * Return what changes in a turn when it is cut.
 *
 * @param {Turn} turn
 * @param {number} length  the characters of its text that were heard
 */
export function cutAt(turn, length) {
  const text = wholeText(turn);
  const [heard, lost] = [text.slice(0, length), text.slice(length)];
  return { interrupted: lost.trim() !== '', heard, lost, heardLength: length, over: true };
}

/**
 * Return the turns of a conversation that is over: an answer that was not played completely is cut.
 *
 * @param {readonly Turn[]} turns
 * @returns {readonly Turn[]}
 */
export function withoutPlans(turns) {
  const isUntold = (/** @type {Turn} */ turn) => turn.interrupted && !turn.heard && !turn.lost;
  return turns.map((turn) =>
    turn.who === 'assistant' && (!turn.over || isUntold(turn))
      ? { ...turn, ...cutAt(turn, turn.heardLength) }
      : turn,
  );
}

/**
 * Return the length of the part of `text` that was heard: its words whose middle was reached.
 *
 * @param {string} text
 * @param {number} reached  the characters that were reached, which may be a fraction
 */
function wordsBefore(text, reached) {
  let end = 0;
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    if (!(index + word.length / 2 <= reached)) break;
    end = index + word.length;
  }
  return end;
}
