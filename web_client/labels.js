/**
 * The texts of the element, in the language of the page around it.
 *
 *     import { useLabels } from 'https://voice.example/labels.js';
 *     useLabels({ 'Start talking': 'Gespräch beginnen', 'answered after {time}': '...' });
 *     await import('https://voice.example/sonic-voice.js');
 *
 * The key of a text is the English text; a text that is not in the table stays English. `LABELS`
 * lists all texts of the element. The sentences of errors and notices (`closing.js`, `link.js`,
 * `sound-state.js` and `audio/sound-error.js`) are looked up, too, sentence by sentence.
 */

/** All texts of the element; `{time}` and the like are replaced. */
export const LABELS = Object.freeze([
  ...['Sonic Voice', 'Voice', 'You', 'Transcript', 'Newest words', 'typed', 'done', '(not heard:)'],
  ...['Say something.'],
  'You are heard, and answered aloud. Talk over the answer whenever you like.',
  ...['You are told a minute before the end, if the server sets one.'],
  ...['Save transcript', 'As text', 'As Markdown', 'As JSON', 'Delete earlier words'],
  ...['conversation'],
  ...['Sound', 'Microphone', 'Loudspeaker', 'Default', 'Push to talk', 'Volume', 'Next voice'],
  ...['Close', 'Close {label}', 'A new conversation, {time}'],
  ...['Mute', 'Hold to talk', 'Interrupt', 'End', 'Cancel', 'Send', 'Type a message', 'Or type'],
  ...['The space bar does the same', 'Escape does the same', 'answered after {time}', '{number} s'],
  ...['Sound: yours above, the voice below', 'Use the microphone', 'Try now', 'Start talking'],
  ...['Try again', 'Start again', 'Reload the page', 'Sign in again', 'Use the default voice'],
  ...['Talk here instead', 'ready', 'connecting', 'listening', 'hearing you', 'thinking'],
  ...['using a tool', 'speaking', 'reconnecting', 'ended', 'muted', 'waiting for you'],
  ...['no microphone', 'muted by the system', 'sound stopped', 'Its answer waits for a pause.'],
  'Picture: {words}',
]);

/** The translations. @type {Readonly<Record<string, string>>} */
let table = {};

/**
 * Replace texts. Call it before the first element is created.
 *
 * @param {Readonly<Record<string, string>>} labels  translations by English text
 */
export function useLabels(labels) {
  table = { ...labels };
}

/**
 * Return a text in the language of the page.
 *
 * @param {string} english
 * @param {Record<string, string>} [values]  what to put into its braces
 */
export function label(english, values = {}) {
  const text = translated(english);
  return text.replace(/\{(\w+)\}/g, (braces, name) => values[name] ?? braces);
}

/**
 * Return sentences in the language of the page: as a whole if they are in the table, else each that
 * is.
 *
 * @param {string} english
 */
export function sentences(english) {
  if (Object.hasOwn(table, english)) return translated(english);
  return english
    .split(/(?<=[.!?]) /)
    .map(translated)
    .join(' ');
}

/** Return the translation of a text, or the text. @param {string} english */
function translated(english) {
  return (Object.hasOwn(table, english) && table[english]) || english;
}
