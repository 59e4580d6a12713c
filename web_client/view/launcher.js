/**
 * The floating form: a button at the corner of the window, which opens and closes the rest of the
 * element. A conversation goes on while the rest is closed.
 */

import { label } from '../labels.js';
import { element } from './element.js';

/** The button of the floating form, and whether the rest of the element is shown. */
export class Launcher {
  #section;
  #floats = false;
  #open = false;
  /** True once the styles were loaded. Nothing is shown before. */
  #ready = false;
  #name = label('Sonic Voice');

  button = element('button', {
    type: 'button',
    class: 'launcher',
    hidden: true,
    'aria-controls': 'panel',
  });

  /** @param {HTMLElement} section  the rest of the element */
  constructor(section) {
    this.#section = section;
    this.button.append(element('span', { class: 'dot', 'aria-hidden': 'true' }), element('span'));
    this.button.addEventListener('click', () => {
      this.#open = !this.#open;
      this.#show();
    });
  }

  /** Show what is to be shown: the styles are there. */
  begin() {
    this.#ready = true;
    this.#show();
  }

  /** Set whether the element floats. @param {boolean} floats */
  set floats(floats) {
    this.#floats = floats;
    this.#show();
  }

  /** Set the name of the element. @param {string} name */
  set name(name) {
    this.#name = name;
    this.#show();
  }

  /** Set whether there is a conversation. @param {boolean} live */
  set live(live) {
    this.button.classList.toggle('live', live);
  }

  /** Close the rest of the element if it floats and has the focus. */
  escape() {
    if (!this.#floats || !this.#open || !this.#section.matches(':focus-within')) return;
    this.#open = false;
    this.#show();
    this.button.focus();
  }

  /** Show and hide the button and the rest. */
  #show() {
    this.#section.hidden = !this.#ready || (this.#floats && !this.#open);
    this.button.hidden = !this.#ready || !this.#floats;
    this.button.setAttribute('aria-expanded', String(this.#open));
    if (!this.#floats) return;
    const name = this.#open ? label('Close {label}', { label: this.#name }) : this.#name;
    this.button.setAttribute('aria-label', name);
    /** @type {HTMLElement} */ (this.button.lastElementChild).textContent = this.#open
      ? label('Close')
      : this.#name;
  }
}
