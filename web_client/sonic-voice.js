/**
 * `<sonic-voice>`: a spoken conversation in one element.
 *
 *     <script type="module" src="https://voice.example/sonic-voice.js"></script>
 *     <sonic-voice voice="tiffany" token="..."></sonic-voice>
 *
 * Attributes: `src`, where to connect (default: /talk beside this module); `token`; `voice`;
 * `language`; `label`, heading and accessible name. Elements inside it stand as its heading
 * instead. Properties: `client`, the VoiceClient, for an application that wants its turns and
 * events; `fetchToken`, an async function that gives a fresh token, to be set before the first
 * conversation. Where a new token is needed and there is no `fetchToken`, the button dispatches
 * `sonic-voice-sign-in`; unless that is prevented, it then reloads the page.
 *
 * The element only shows and asks: what a conversation is lives in the client. At each of the
 * client's events it changes what differs.
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
/** @typedef {import('./view/controls.js').Moment} Moment */

const LABEL = 'Sonic Voice';

/** Of the close that both wanted. */
const BYE_CODE = 1000;

/** @type {Omit<Moment, 'trouble'>} */
const BEFORE = {
  state: 'idle',
  muted: false,
  pushToTalk: false,
  talking: false,
  typing: false,
  responseMs: null,
};

export class SonicVoice extends HTMLElement {
  static observedAttributes = ['label', 'src', 'token', 'voice', 'language'];

  /** @type {(() => Promise<string>) | undefined} */
  fetchToken;

  /** @type {VoiceClient | null} */
  #client = null;
  #heard = new AbortController();
  #here = new AbortController();
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
    element('p', {}, 'A conversation lasts up to 8 minutes; you are told when one is left.'),
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

  connectedCallback() {
    this.#here = new AbortController();
    const { signal } = this.#here;
    addEventListener('keydown', (event) => this.#key(event), { signal });
    navigator.mediaDevices?.addEventListener('devicechange', () => this.#look(), { signal });
    this.#controls.pushToTalk.listen();
    this.#showAll();
  }

  disconnectedCallback() {
    this.#here.abort();
    this.#controls.pushToTalk.leave();
    queueMicrotask(() => {
      if (this.isConnected) return; // it was only moved
      this.#waveform.stop();
      this.#client?.close();
    });
  }

  /** @param {string} name */
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

  /** The client; made of the attributes when it is first needed. */
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
    const { signal } = (this.#heard = new AbortController());
    /** @type {[string, (detail: any) => void][]} */
    const told = [
      ['state', () => this.#showState()],
      ['turns', () => this.#showTurns()],
      ['notice', ({ text }) => this.#notice(text)],
      ['ended', (ending) => this.#ended(ending)],
    ];
    for (const [type, tell] of told) {
      const listener = (/** @type {Event} */ event) =>
        tell(/** @type {CustomEvent} */ (event).detail);
      client.addEventListener(type, listener, { signal });
    }
    this.#showAll();
  }

  #forget() {
    this.#heard.abort();
    this.#client = null;
    this.#trouble = null;
  }

  /** @param {Act} act */
  #act(act) {
    const tokenComes = act !== 'sign-in' || this.fetchToken !== undefined;
    if (act === 'reload' || (!tokenComes && this.#asksToSignIn())) {
      location.reload();
    } else if (tokenComes) {
      if (act === 'plain-voice') {
        this.removeAttribute('voice');
        this.removeAttribute('language');
      }
      void this.#try(() => this.client.reconnect());
    }
  }

  /** Whether nobody took it on. */
  #asksToSignIn() {
    const options = { bubbles: true, composed: true, cancelable: true };
    return this.dispatchEvent(new CustomEvent('sonic-voice-sign-in', options));
  }

  /**
   * Does what can fail in a way that has words, and shows them if it does. That a conversation
   * ended is told by `ended`, even if it never began.
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
    this.#look();
  }

  /** @param {string} text */
  #notice(text) {
    this.#transcript.notice(text);
    this.#showTurns();
  }

  /** @param {import('./closing.js').Ending} ending */
  #ended({ code, reason }) {
    this.#trouble = code === BYE_CODE ? null : troubleOf(reason, code);
    this.#showState();
  }

  /** @param {(client: VoiceClient) => void} change */
  #change(change) {
    change(this.client);
    this.#showState();
  }

  #interrupt() {
    if (this.#client?.state === 'speaking') this.#client.interrupt();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    if (this.#soundShown && this.#sound.node.matches(':focus-within')) {
      this.#showSound(false);
      this.#soundButton.focus();
    } else {
      this.#interrupt();
    }
  }

  get #soundShown() {
    return this.#soundButton.getAttribute('aria-expanded') === 'true';
  }

  /** @param {boolean} shown */
  #showSound(shown) {
    this.#sound.node.hidden = !shown;
    this.#soundButton.setAttribute('aria-expanded', String(shown));
    if (shown) this.#look();
  }

  #look() {
    if (this.#soundShown) void this.#sound.look();
  }

  get #voiceName() {
    const name = this.#client?.voice || this.getAttribute('voice') || 'Voice';
    return name.charAt(0).toUpperCase() + name.slice(1);
  }

  #showAll() {
    this.#showTurns();
    this.#showState();
  }

  #showState() {
    const client = this.#client;
    const state = client?.state ?? 'idle';
    this.#controls.show({ ...momentOf(client), trouble: this.#trouble });
    this.#waveform.voiceName = this.#voiceName;
    this.#waveform.whole = state !== 'reconnecting';
    if (client && !isAtRest(state)) {
      this.#waveform.start(() => ({ person: client.microphone, voice: client.loudspeaker }));
    } else {
      this.#waveform.stop();
    }
  }

  #showTurns() {
    const turns = this.#client?.turns ?? [];
    this.#transcript.show(turns, this.#voiceName);
    this.#save.hidden = !turns.length;
    this.#opening.hidden = !this.#transcript.isEmpty;
    this.#transcript.node.hidden = this.#transcript.isEmpty;
  }

  #download() {
    const words = new Blob([this.client.transcript()], { type: 'text/plain;charset=utf-8' });
    const href = URL.createObjectURL(words);
    const day = new Date().toISOString().slice(0, 16).replace(':', '.');
    element('a', { href, download: `conversation ${day}.txt` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  }
}

/**
 * @param {VoiceClient} client
 * @param {boolean} on
 */
function holdToTalk(client, on) {
  client.pushToTalk = on;
  client.muted = false; // a held button is to be heard
  client.talking = false;
}

/**
 * @param {VoiceClient | null} client
 * @returns {Omit<Moment, 'trouble'>}
 */
function momentOf(client) {
  if (!client) return BEFORE;
  const { state, muted, pushToTalk, talking, typing, responseMs } = client;
  return { state, muted, pushToTalk, talking, typing, responseMs };
}

/**
 * @param {string} text
 * @param {number} [code]
 * @returns {Trouble}
 */
function troubleOf(text, code) {
  return { text, step: nextStep(code) };
}

if (!customElements.get('sonic-voice')) customElements.define('sonic-voice', SonicVoice);
