/**
 * The controls at the lower edge: the state in words, the buttons, and a field to type in.
 *
 * Buttons that have no meaning in the current state are hidden. When the button with the focus is
 * hidden, the focus moves to the main button, so that keyboard users do not lose their place.
 */

import { element, setText } from './element.js';
import { PushToTalk } from './push-to-talk.js';
import { isAtRest, isLive, mainStep, seconds, stateInWords } from './wording.js';

/** @typedef {import('./wording.js').Act} Act */
/** @typedef {import('./wording.js').Trouble} Trouble */
/** @typedef {import('../voice-client.js').State} State */

/**
 * What the controls show.
 *
 * @typedef {{ state: State, muted: boolean, pushToTalk: boolean, talking: boolean,
 *   typing: boolean, responseMs: number | null, trouble: Trouble | null }} ControlsState
 */

/**
 * The callbacks of the controls.
 *
 * @typedef {{ act: (act: Act) => void, mute: (muted: boolean) => void, interrupt: () => void,
 *   end: () => void, talk: (talking: boolean) => void, say: (text: string) => void }} Actions
 */

/** Maximum length of a typed turn, in characters; the server's limit. */
const SAID_CHARACTERS = 2000;

/** The state, the buttons and the text field. */
export class Controls {
  #state = element('p', { class: 'state', role: 'status', 'aria-live': 'polite' });
  #latency = element('p', { class: 'latency' });
  #trouble = element('p', { class: 'trouble', role: 'alert' });
  #main = button('main', '');
  #mute = button('mute', 'Mute');
  #hold = button('hold', 'Hold to talk');
  #interrupt = button('interrupt', 'Interrupt');
  #end = button('end', 'End');
  #input = element('input', {
    type: 'text',
    'aria-label': 'Type a message',
    placeholder: 'Or type',
    maxlength: String(SAID_CHARACTERS),
    autocomplete: 'off',
    enterkeyhint: 'send',
  });
  #send = element('button', { class: 'send' }, 'Send');
  #form = element('form', { class: 'say' }, this.#input, this.#send);
  #actions;
  /** @type {Act | null} */
  #act = null;
  #muted = false;
  #live = false;
  /** Whether the focus was moved to the end button because no other was shown. */
  #focusWaits = false;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.pushToTalk = new PushToTalk(this.#hold, actions.talk);
    this.#hold.title = 'The space bar does the same';
    this.#interrupt.title = 'Escape does the same';
    this.#main.addEventListener('click', () => this.#act && actions.act(this.#act));
    this.#mute.addEventListener('click', () => actions.mute(!this.#muted));
    this.#interrupt.addEventListener('click', () => actions.interrupt());
    this.#end.addEventListener('click', () => actions.end());
    this.#form.addEventListener('submit', (event) => this.#submit(event));
    this.node = element(
      'div',
      { class: 'controls' },
      element('div', { class: 'now' }, this.#state, this.#latency),
      this.#trouble,
      element(
        'div',
        { class: 'row' },
        this.#main,
        this.#mute,
        this.#hold,
        this.#interrupt,
        this.#end,
        this.#form,
      ),
    );
  }

  /** Show the current state. @param {ControlsState} current */
  show(current) {
    const root = /** @type {Document | ShadowRoot} */ (this.node.getRootNode());
    const focused = root.activeElement;
    this.#showTexts(current);
    this.#showButtons(current);
    const fell = focused && this.node.contains(focused) && !focused.checkVisibility();
    // If the focus stayed on the end button, the next key would end the conversation.
    const waited = this.#focusWaits && focused === this.#end && this.#live;
    if (fell || waited) this.#keepFocus();
  }

  /** Update the texts. @param {ControlsState} current */
  #showTexts(current) {
    const { state, responseMs, trouble } = current;
    setText(this.#state, stateInWords(state, current));
    setText(this.#latency, responseMs === null ? '' : `answered after ${seconds(responseMs)}`);
    setText(this.#trouble, trouble?.text ?? '');
  }

  /** Update the buttons. @param {ControlsState} current */
  #showButtons({ state, muted, pushToTalk, typing, trouble }) {
    const step = mainStep(state, trouble);
    this.#live = isLive(state);
    this.#muted = muted;
    this.#act = step?.act ?? null;
    if (step) setText(this.#main, step.label);
    // While connecting the main button does nothing, but keeps the focus.
    this.#main.hidden = !step && state !== 'connecting';
    this.#main.setAttribute('aria-disabled', String(!step));
    this.#mute.hidden = !this.#live || pushToTalk;
    this.#mute.setAttribute('aria-pressed', String(muted));
    this.#hold.hidden = !this.#live || !pushToTalk;
    this.pushToTalk.enabled = this.#live && pushToTalk;
    this.#interrupt.hidden = !this.#live;
    this.#interrupt.setAttribute('aria-disabled', String(state !== 'speaking'));
    this.#end.hidden = isAtRest(state);
    setText(this.#end, state === 'connecting' ? 'Cancel' : 'End');
    this.#form.hidden = !typing || !(this.#live || state === 'reconnecting');
  }

  /** Move the focus to the first button that is shown. */
  #keepFocus() {
    const next = [this.#main, this.#hold, this.#mute, this.#end].find(({ hidden }) => !hidden);
    next?.focus();
    this.#focusWaits = next === this.#end;
  }

  /** Send the typed text. @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    if (!text || !this.#live) return;
    this.#actions.say(text);
    this.#input.value = '';
  }
}

/**
 * Create a button.
 *
 * @param {string} name  its CSS class
 * @param {string} text
 */
function button(name, text) {
  return element('button', { type: 'button', class: name }, text);
}
