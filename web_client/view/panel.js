/** A part of the element that a button shows and hides. */

import { element } from './element.js';

/** A button and the part that it shows. */
export class Panel {
  #node;
  #onShown;

  /**
   * @param {string} name  the text of the button
   * @param {HTMLElement} node  the part, which has an id
   * @param {() => void} [onShown]  called when it is shown
   */
  constructor(name, node, onShown = () => {}) {
    this.#node = node;
    this.#onShown = onShown;
    const attributes = { type: 'button', 'aria-expanded': 'false', 'aria-controls': node.id };
    this.button = element('button', attributes, name);
    this.button.addEventListener('click', () => this.#show(!this.shown));
  }

  /** True if the part is shown. */
  get shown() {
    return !this.#node.hidden;
  }

  /** True if the part is shown and has the focus. */
  get hasFocus() {
    return this.shown && this.#node.matches(':focus-within');
  }

  /** Hide the part. The focus moves from it to the button. */
  close() {
    const { hasFocus } = this;
    this.#show(false);
    if (hasFocus) this.button.focus();
  }

  /** Show or hide the part. @param {boolean} shown */
  #show(shown) {
    if (shown === this.shown) return;
    this.#node.hidden = !shown;
    this.button.setAttribute('aria-expanded', String(shown));
    if (shown) this.#onShown();
  }
}
