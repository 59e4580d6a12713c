/** The choice of a format in which the transcript is saved, and the removal of earlier words. */

import { label } from '../labels.js';
import { FORMATS } from '../saved-transcript.js';
import { element } from './element.js';

/** @typedef {import('../saved-transcript.js').Format} Format */

/** Time after which the browser has read the file, in milliseconds. */
const READ_MS = 60_000;

/** The buttons below `Save transcript`. */
export class SaveChoice {
  #forget = element('button', { type: 'button' }, label('Delete earlier words'));

  /**
   * @param {{ transcript: (format: Format) => string, forget: () => void }} actions
   */
  constructor({ transcript, forget }) {
    /** @type {[Format, string][]} */
    const names = [
      ['text', label('As text')],
      ['markdown', label('As Markdown')],
      ['json', label('As JSON')],
    ];
    const buttons = names.map(([format, name]) => {
      const button = element('button', { type: 'button' }, name);
      button.addEventListener('click', () => download(transcript(format), format));
      return button;
    });
    this.#forget.addEventListener('click', forget);
    this.node = element(
      'fieldset',
      { class: 'save', id: 'save', hidden: true },
      element('legend', { class: 'unseen' }, label('Save transcript')),
      ...buttons,
      this.#forget,
    );
  }
}

/**
 * Have the browser save a file.
 *
 * @param {string} content
 * @param {Format} format
 */
function download(content, format) {
  const { extension, type } = FORMATS[format];
  const href = URL.createObjectURL(new Blob([content], { type: `${type};charset=utf-8` }));
  const day = new Date().toISOString().slice(0, 16).replace(':', '.');
  element('a', { href, download: `${label('conversation')} ${day}.${extension}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), READ_MS);
}
