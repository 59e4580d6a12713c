/**
 * `<sonic-voice>`: a spoken conversation in one element.
 *
 *     <script type="module" src="https://voice.example/sonic-voice.js"></script>
 *     <sonic-voice voice="tiffany" token="..."></sonic-voice>
 *
 * Attributes:
 *
 * - `src`: the address to connect to; by default /talk beside this module
 * - `token`, `voice`, `language`: the options of `VoiceClient`
 * - `label`: the heading and the accessible name. Child elements replace the heading
 *
 * Properties:
 *
 * - `client`: the `VoiceClient`, for an application that uses its turns and events
 * - `fetchToken`: an async function that returns a new token; set it before the first conversation
 *
 * If a new token is needed and there is no `fetchToken`, the button dispatches
 * `sonic-voice-sign-in`; unless that event is prevented, the page is then reloaded.
 *
 * The element only shows state and passes on what the user does; the conversation is in the client.
 * On each event of the client it updates what differs.
 */

import { Controls } from './view/controls.js';
import { element, setText } from './view/element.js';
import { SoundChoice } from './view/sound-choice.js';
import { Transcript } from './view/transcript.js';
import { isAtRest, nextStep } from './view/wording.js';
import { VoiceClient } from './voice-client.js';
import { Waveform } from './waveform.js';

/** @typedef {import('./view/wording.js').Act} Act */
/** @typedef {import('./view/wording.js').Trouble} Trouble */
/** @typedef {import('./view/controls.js').ControlsState} ControlsState */

const LABEL = 'Sonic Voice';

/** Close code of a conversation that the user ended. */
const BYE_CODE = 1000;

/** What the controls show before there is a client. @type {Omit<ControlsState, 'trouble'>} */
const BEFORE = {
  state: 'idle',
  muted: false,
  pushToTalk: false,
  talking: false,
  typing: false,
  responseMs: null,
};

/** The element `<sonic-voice>`. */
export class SonicVoice extends HTMLElement {
  static observedAttributes = ['label', 'src', 'token', 'voice', 'language'];

  /** Returns a new token. @type {(() => Promise<string>) | undefined} */
  fetchToken;

  /** @type {VoiceClient | null} */
  #client = null;
  /** Aborted when the client is replaced: ends the listeners for its events. */
  #clientListeners = new AbortController();
  /** Aborted when the element is removed: ends the listeners for events of the page. */
  #pageListeners = new AbortController();
  /** @type {Trouble | null} */
  #trouble = null;

  #label = element('span', {}, LABEL);
  #save = element('button', { type: 'button', hidden: true }, 'Save transcript');
  #soundButton = element(
    'button',
    { type: 'button', 'aria-expanded': 'false', 'aria-controls': 'sound' },
    'Sound',
  );
  #opening = element(
    'div',
    { class: 'opening' },
    element('p', { class: 'large' }, 'Say something.'),
    element('p', {}, 'You are heard, and answered aloud. Talk over the answer whenever you like.'),
    element('p', {}, 'You are told a minute before the end, if the server sets one.'),
  );
  #transcript = new Transcript();
  #waveform = new Waveform();
  #sound = new SoundChoice({
    onDevices: (chosen) => void this.#try(() => this.client.useDevices(chosen)),
    onPushToTalk: (on) => this.#change((client) => holdToTalk(client, on)),
  });
  #controls = new Controls({
    act: (act) => this.#act(act),
    mute: (muted) => this.#change((client) => (client.muted = muted)),
    talk: (talking) => this.#change((client) => (client.talking = talking)),
    interrupt: () => this.#interrupt(),
    end: () => this.client.close(),
    say: (text) => void this.#try(async () => this.client.sendText(text)),
  });
  #section = element(
    'section',
    { hidden: true, 'aria-label': LABEL },
    element('header', {}, element('slot', {}, this.#label), this.#save, this.#soundButton),
    this.#sound.node,
    this.#opening,
    this.#transcript.node,
    this.#waveform.node,
    this.#controls.node,
  );

  constructor() {
    super();
    const href = new URL('./sonic-voice.css', import.meta.url).href;
    const styles = element('link', { rel: 'stylesheet', href });
    for (const outcome of ['load', 'error']) {
      styles.addEventListener(outcome, () => (this.#section.hidden = false));
    }
    this.attachShadow({ mode: 'open' }).append(styles, this.#section);
    this.#save.addEventListener('click', () => this.#download());
    this.#soundButton.addEventListener('click', () => this.#showSound(!this.#soundShown));
  }

  /** Called by the browser when the element is inserted into a document. */
  connectedCallback() {
    this.#pageListeners = new AbortController();
    const { signal } = this.#pageListeners;
    addEventListener('keydown', (event) => this.#key(event), { signal });
    const refresh = () => this.#refreshDevices();
    navigator.mediaDevices?.addEventListener('devicechange', refresh, { signal });
    this.#controls.pushToTalk.listen();
    this.#showAll();
  }

  /** Called by the browser when the element is removed. It ends the conversation. */
  disconnectedCallback() {
    this.#pageListeners.abort();
    this.#controls.pushToTalk.leave();
    queueMicrotask(() => {
      if (this.isConnected) return; // the element was only moved
      this.#waveform.stop();
      this.#client?.close();
    });
  }

  /**
   * Called by the browser when an attribute changes. A client without a conversation is then
   * replaced, so that the new options are used.
   *
   * @param {string} name
   */
  attributeChangedCallback(name) {
    if (name === 'label') {
      const label = this.getAttribute('label') || LABEL;
      setText(this.#label, label);
      this.#section.setAttribute('aria-label', label);
    } else if (this.#client && isAtRest(this.#client.state)) {
      this.#forget();
      this.#showState();
    }
  }

  /** The client. It is created from the attributes when it is first needed. */
  get client() {
    if (this.#client) return this.#client;
    const client = new VoiceClient({
      url: this.getAttribute('src') ?? '',
      token: this.getAttribute('token') ?? '',
      voice: this.getAttribute('voice') ?? '',
      language: this.getAttribute('language') ?? '',
      fetchToken: this.fetchToken,
    });
    this.client = client;
    return client;
  }

  set client(client) {
    this.#forget();
    this.#client = client;
    const { signal } = (this.#clientListeners = new AbortController());
    /** @type {[string, (detail: any) => void][]} */
    const handlers = [
      ['state', () => this.#showState()],
      ['turns', () => this.#showConversation()],
      ['notice', ({ text }) => this.#notice(text)],
      ['ended', (ending) => this.#ended(ending)],
    ];
    for (const [type, handle] of handlers) {
      const listener = (/** @type {Event} */ event) =>
        handle(/** @type {CustomEvent} */ (event).detail);
      client.addEventListener(type, listener, { signal });
    }
    this.#showAll();
  }

  /** Detach the client. */
  #forget() {
    this.#clientListeners.abort();
    this.#client = null;
    this.#trouble = null;
  }

  /** Do what the main button says. @param {Act} act */
  #act(act) {
    const hasToken = act !== 'sign-in' || this.fetchToken !== undefined;
    if (act === 'reload' || (!hasToken && this.#asksToSignIn())) {
      location.reload();
    } else if (hasToken) {
      if (act === 'plain-voice') {
        this.removeAttribute('voice');
        this.removeAttribute('language');
      }
      void this.#try(() => this.client.reconnect());
    }
  }

  /** Dispatch `sonic-voice-sign-in`, and return whether the application did not prevent it. */
  #asksToSignIn() {
    const options = { bubbles: true, composed: true, cancelable: true };
    return this.dispatchEvent(new CustomEvent('sonic-voice-sign-in', options));
  }

  /**
   * Carry out an action, and show its error if that has a hint. An error that ends a conversation
   * is shown by `#ended`, even if the conversation never began.
   *
   * @param {() => Promise<void>} action
   */
  async #try(action) {
    this.#trouble = null;
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Error && 'hint' in error)) throw error;
      if (!isAtRest(this.client.state)) this.#trouble = troubleOf(`${error.message} ${error.hint}`);
    }
    this.#showState();
    this.#refreshDevices();
  }

  /** Show a sentence in the transcript. @param {string} text */
  #notice(text) {
    this.#transcript.notice(text);
    this.#showTurns();
  }

  /** Show why the conversation ended. @param {import('./closing.js').Ending} ending */
  #ended({ code, reason }) {
    this.#trouble = code === BYE_CODE ? null : troubleOf(reason, code);
    this.#showState();
  }

  /** Change the client, and show its state. @param {(client: VoiceClient) => void} change */
  #change(change) {
    change(this.client);
    this.#showState();
  }

  /** Cut off the answer, if one is being spoken. */
  #interrupt() {
    if (this.#client?.state === 'speaking') this.#client.interrupt();
  }

  /** Handle Escape: close the sound settings, or interrupt. @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    if (this.#soundShown && this.#sound.node.matches(':focus-within')) {
      this.#showSound(false);
      this.#soundButton.focus();
    } else {
      this.#interrupt();
    }
  }

  /** Whether the sound settings are shown. */
  get #soundShown() {
    return this.#soundButton.getAttribute('aria-expanded') === 'true';
  }

  /** Show or hide the sound settings. @param {boolean} shown */
  #showSound(shown) {
    this.#sound.node.hidden = !shown;
    this.#soundButton.setAttribute('aria-expanded', String(shown));
    if (shown) this.#refreshDevices();
  }

  /** Update the list of devices, if it is shown. */
  #refreshDevices() {
    if (this.#soundShown) void this.#sound.refresh();
  }

  /** The name of the voice for display. */
  get #voiceName() {
    const name = this.#client?.voice || this.getAttribute('voice') || 'Voice';
    return name.charAt(0).toUpperCase() + name.slice(1);
  }

  /** Update everything. */
  #showAll() {
    this.#showTurns();
    this.#showState();
  }

  /** Update the controls and the waveform. */
  #showState() {
    const client = this.#client;
    const state = client?.state ?? 'idle';
    this.#showControls();
    this.#waveform.voiceName = this.#voiceName;
    this.#waveform.whole = state !== 'reconnecting' && state !== 'recovering';
    if (client && !isAtRest(state)) {
      this.#waveform.start(() => ({ person: client.microphone, voice: client.loudspeaker }));
    } else {
      this.#waveform.stop();
    }
  }

  /** Update the transcript, and the latency of its last answer. */
  #showConversation() {
    this.#showTurns();
    this.#showControls();
  }

  /** Update the controls, which also show the latency of the last answer. */
  #showControls() {
    this.#controls.show({ ...controlsStateOf(this.#client), trouble: this.#trouble });
  }

  /** Update the transcript. */
  #showTurns() {
    const turns = this.#client?.turns ?? [];
    this.#transcript.show(turns, this.#voiceName);
    this.#save.hidden = !turns.length;
    this.#opening.hidden = !this.#transcript.isEmpty;
    this.#transcript.node.hidden = this.#transcript.isEmpty;
  }

  /** Save the transcript as a file. */
  #download() {
    const words = new Blob([this.client.transcript()], { type: 'text/plain;charset=utf-8' });
    const href = URL.createObjectURL(words);
    const day = new Date().toISOString().slice(0, 16).replace(':', '.');
    element('a', { href, download: `conversation ${day}.txt` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  }
}

/**
 * Switch push-to-talk on or off.
 *
 * @param {VoiceClient} client
 * @param {boolean} on
 */
function holdToTalk(client, on) {
  client.pushToTalk = on;
  client.muted = false; // otherwise holding the button would have no effect
  client.talking = false;
}

/**
 * Return what the controls show of a client.
 *
 * @param {VoiceClient | null} client
 * @returns {Omit<ControlsState, 'trouble'>}
 */
function controlsStateOf(client) {
  if (!client) return BEFORE;
  const { state, muted, pushToTalk, talking, typing, responseMs } = client;
  return { state, muted, pushToTalk, talking, typing, responseMs };
}

/**
 * Return an error to show, with the next step.
 *
 * @param {string} text
 * @param {number} [code]  the close code
 * @returns {Trouble}
 */
function troubleOf(text, code) {
  return { text, step: nextStep(code) };
}

if (!customElements.get('sonic-voice')) customElements.define('sonic-voice', SonicVoice);
