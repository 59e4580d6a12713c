/**
 * The controls at the lower edge: the state in words, the buttons, and a field to type in.
 *
 * Buttons that have no meaning in the current state are hidden. When the button with the focus is
 * hidden, the focus moves to the main button, so that keyboard users do not lose their place.
 */

import { label, sentences } from '../labels.js';
import { element, setText } from './element.js';
import { PushToTalk } from './push-to-talk.js';
import { announcement, isAtRest, isLive, mainStep, seconds, stateInWords } from './wording.js';

/** @typedef {import('./wording.js').Act} Act */
/** @typedef {import('./wording.js').Trouble} Trouble */
/** @typedef {import('../voice-client.js').State} State */

/**
 * What the controls show.
 *
 * @typedef {import('./wording.js').Hearing & { state: State, typing: boolean,
 *   responseMs: number | null, trouble: Trouble | null }} ControlsState
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
  #state = element('p', { class: 'state' });
  /** The text that screen readers announce. */
  #status = element('p', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
  #latency = element('p', { class: 'latency' });
  #trouble = element('p', { class: 'trouble', role: 'alert' });
  #main = button('main', '');
  #mute = button('mute', label('Mute'));
  #hold = button('hold', label('Hold to talk'));
  #interrupt = button('interrupt', label('Interrupt'));
  #end = button('end', label('End'));
  #input = element('input', {
    type: 'text',
    'aria-label': label('Type a message'),
    placeholder: label('Or type'),
    maxlength: String(SAID_CHARACTERS),
    autocomplete: 'off',
    enterkeyhint: 'send',
  });
  #send = element('button', { class: 'send' }, label('Send'));
  #form = element('form', { class: 'say' }, this.#input, this.#send);
  #actions;
  /** @type {Act | null} */
  #act = null;
  /** The texts that are announced in a moment. @type {string[]} */
  #announced = [];
  #announcedState = '';
  #muted = false;
  #live = false;
  /** Whether the focus was moved to the end button because no other was shown. */
  #focusWaits = false;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    this.pushToTalk = new PushToTalk(this.#hold, actions.talk);
    this.#hold.title = label('The space bar does the same');
    this.#interrupt.title = label('Escape does the same');
    this.#main.addEventListener('click', () => this.#act && actions.act(this.#act));
    this.#mute.addEventListener('click', () => actions.mute(!this.#muted));
    this.#interrupt.addEventListener('click', () => actions.interrupt());
    this.#end.addEventListener('click', () => actions.end());
    this.#form.addEventListener('submit', (event) => this.#submit(event));
    this.node = element(
      'div',
      { class: 'controls' },
      element('div', { class: 'now' }, this.#state, this.#latency),
      this.#status,
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
    const time = responseMs === null ? '' : seconds(responseMs);
    setText(this.#latency, time && label('answered after {time}', { time }));
    setText(this.#trouble, sentences(trouble?.text ?? ''));
    this.#announceState(announcement(state, current));
  }

  /**
   * Have screen readers announce a text. Texts that come together, such as a notice and a state,
   * are announced together: of two changes of a live region only the second would be read.
   *
   * @param {string} text
   */
  announce(text) {
    this.#announced.push(text);
    if (this.#announced.length > 1) return;
    queueMicrotask(() => setText(this.#status, this.#announced.splice(0).join(' ')));
  }

  /** Have a state announced, unless it was the last one. @param {string} text  '' for none */
  #announceState(text) {
    if (!text || text === this.#announcedState) return;
    this.#announcedState = text;
    this.announce(text);
  }

  /** Update the buttons. @param {ControlsState} current */
  #showButtons({ state, muted, pushToTalk, typing, trouble, input }) {
    const step = mainStep(state, trouble, input);
    this.#live = isLive(state);
    this.#muted = muted;
    this.#act = step?.act ?? null;
    if (step) setText(this.#main, label(step.label));
    // While connecting the main button does nothing, but keeps the focus.
    this.#main.hidden = !step && state !== 'connecting';
    this.#main.setAttribute('aria-disabled', String(!step));
    const isHeard = this.#live && input !== 'missing';
    this.#mute.hidden = !isHeard || pushToTalk;
    this.#mute.setAttribute('aria-pressed', String(muted));
    this.#hold.hidden = !isHeard || !pushToTalk;
    this.pushToTalk.enabled = isHeard && pushToTalk;
    this.#interrupt.hidden = !this.#live;
    this.#interrupt.setAttribute('aria-disabled', String(state !== 'speaking'));
    this.#end.hidden = isAtRest(state);
    setText(this.#end, label(state === 'connecting' ? 'Cancel' : 'End'));
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
