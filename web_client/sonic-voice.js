/**
 * `<sonic-voice>`: a spoken conversation in one element.
 *
 *     <script type="module" src="https://voice.example/sonic-voice.js"></script>
 *     <sonic-voice voice="tiffany" token="..."></sonic-voice>
 *
 * Attributes:
 *
 * - `src`: the address to connect to; by default /talk beside this module
 * - `token`, `voice`, `language`, `storage-key`: the options of `VoiceClient`
 * - `label`: the heading and the accessible name. Child elements replace the heading
 * - `floating`: a button at the corner of the window, which opens the rest
 *
 * Properties:
 *
 * - `client`: the `VoiceClient`, for an application that uses its turns and events
 * - `fetchToken`: an async function that returns a new token
 *
 * If a new token is needed and there is no `fetchToken`, the button dispatches
 * `sonic-voice-sign-in`; unless that event is prevented, the page is then reloaded.
 *
 * The element only shows state and passes on what the user does; the conversation is in the client.
 * On each event of the client it updates what differs. Importing this module without a browser, as
 * in server-side rendering, does nothing.
 */

import { label, sentences } from './labels.js';
import { offeredVoices } from './offered-voices.js';
import { Controls } from './view/controls.js';
import { element, setText } from './view/element.js';
import { Launcher } from './view/launcher.js';
import { Panel } from './view/panel.js';
import { SaveChoice } from './view/save-choice.js';
import { SoundChoice } from './view/sound-choice.js';
import { Transcript } from './view/transcript.js';
import { isAtRest, nextStep, voiceName } from './view/wording.js';
import { VoiceClient } from './voice-client.js';
import { Waveform } from './waveform.js';

/** @typedef {import('./view/wording.js').Act} Act */
/** @typedef {import('./view/wording.js').Trouble} Trouble */
/** @typedef {import('./view/controls.js').ControlsState} ControlsState */

/** Close code of a conversation that the user ended. */
const BYE_CODE = 1000;

/** What the controls show before there is a client. @type {Omit<ControlsState, 'trouble'>} */
const BEFORE = {
  state: 'idle',
  muted: false,
  pushToTalk: false,
  talking: false,
  input: 'open',
  stalled: false,
  typing: false,
  responseMs: null,
};

/** The base class; without a browser there is none. */
const Base = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/** The element `<sonic-voice>`. */
export class SonicVoice extends Base {
  static observedAttributes = [
    ...['label', 'src', 'token', 'voice', 'language', 'storage-key', 'floating'],
  ];

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

  #label = element('span', {}, label('Sonic Voice'));
  #opening = element(
    'div',
    { class: 'opening' },
    element('p', { class: 'large' }, label('Say something.')),
    element(
      'p',
      {},
      label('You are heard, and answered aloud. Talk over the answer whenever you like.'),
    ),
    element('p', {}, label('You are told a minute before the end, if the server sets one.')),
  );
  #transcript = new Transcript();
  #waveform = new Waveform();
  #sound = new SoundChoice({
    onDevices: (chosen) => void this.#try(() => this.client.useDevices(chosen)),
    onPushToTalk: (on) => this.#change((client) => holdToTalk(client, on)),
    onVolume: (volume) => (this.client.volume = volume),
    onVoice: (voice) => this.#chooseVoice(voice),
  });
  #saving = new SaveChoice({
    transcript: (format) => this.client.transcript(format),
    forget: () => this.client.forget(),
  });
  #savePanel = new Panel(label('Save transcript'), this.#saving.node);
  #soundPanel = new Panel(label('Sound'), this.#sound.node, () => this.#refreshSound());
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
    { hidden: true, id: 'panel', 'aria-label': label('Sonic Voice') },
    element(
      'header',
      {},
      element('slot', {}, this.#label),
      this.#savePanel.button,
      this.#soundPanel.button,
    ),
    this.#saving.node,
    this.#sound.node,
    this.#opening,
    this.#transcript.node,
    this.#waveform.node,
    this.#controls.node,
  );
  #launcher = new Launcher(this.#section);

  constructor() {
    super();
    const href = new URL('./sonic-voice.css', import.meta.url).href;
    const styles = element('link', { rel: 'stylesheet', href });
    for (const outcome of ['load', 'error']) {
      styles.addEventListener(outcome, () => this.#launcher.begin());
    }
    this.attachShadow({ mode: 'open' }).append(styles, this.#section, this.#launcher.button);
  }

  /** Called by the browser when the element is inserted into a document. */
  connectedCallback() {
    this.#pageListeners = new AbortController();
    const { signal } = this.#pageListeners;
    addEventListener('keydown', (event) => this.#key(event), { signal });
    const refresh = () => this.#refreshSound();
    navigator.mediaDevices?.addEventListener('devicechange', refresh, { signal });
    this.#controls.pushToTalk.listen();
    this.#showAll(this.client);
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
   * replaced, so that the new options are used. Its words stay, unless others are asked for.
   *
   * @param {string} name
   */
  attributeChangedCallback(name) {
    if (name === 'label') {
      const text = this.getAttribute('label') || label('Sonic Voice');
      setText(this.#label, text);
      this.#section.setAttribute('aria-label', text);
      this.#launcher.name = text;
    } else if (name === 'floating') {
      this.#launcher.floats = this.hasAttribute('floating');
    } else if (this.#client) {
      this.#client.choose(this.#choice);
      const isChoice = name === 'voice' || name === 'language';
      const after = name === 'storage-key' ? null : this.#client;
      if (!isChoice && isAtRest(this.#client.state)) this.client = this.#newClient(after);
    }
  }

  /** The client. It is created from the attributes when it is first needed. */
  get client() {
    if (!this.#client) this.client = this.#newClient(null);
    return /** @type {VoiceClient} */ (this.#client);
  }

  /** Create a client. @param {VoiceClient | null} after  the client whose words it keeps */
  #newClient(after) {
    const client = new VoiceClient({
      url: this.getAttribute('src') ?? '',
      ...this.#choice,
      fetchToken: () => this.fetchToken?.() ?? this.getAttribute('token') ?? '',
      storageKey: this.getAttribute('storage-key') ?? undefined,
      after,
    });
    if (after) [client.volume, client.pushToTalk] = [after.volume, after.pushToTalk];
    return client;
  }

  /** The voice and the language of the attributes. */
  get #choice() {
    return {
      voice: this.getAttribute('voice') ?? '',
      language: this.getAttribute('language') ?? '',
    };
  }

  /** Use a voice from the next conversation on. @param {string} voice */
  #chooseVoice(voice) {
    this.removeAttribute('language');
    this.setAttribute('voice', voice);
  }

  set client(client) {
    this.#forget();
    this.#client = client;
    const { signal } = (this.#clientListeners = new AbortController());
    /** @type {[string, (detail: any) => void][]} */
    const handlers = [
      ['state', () => this.#showState()],
      ['turns', () => this.#showConversation(client)],
      ['notice', ({ text }) => this.#notice(text)],
      ['ended', (ending) => this.#ended(ending)],
    ];
    for (const [type, handle] of handlers) {
      const listener = (/** @type {Event} */ event) =>
        handle(/** @type {CustomEvent} */ (event).detail);
      client.addEventListener(type, listener, { signal });
    }
    this.#showAll(client);
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
    } else if (act === 'microphone') {
      void this.#try(() => this.client.useDevices({ input: this.#sound.input }));
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
    this.#refreshSound();
  }

  /** Show a sentence in the transcript, and have it announced. @param {string} text */
  #notice(text) {
    this.#transcript.notice(text, this.client.conversations.at(-1));
    this.#controls.announce(sentences(text));
    this.#showTurns(this.client);
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

  /** Handle Escape: close what has the focus, or interrupt. @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    const panel = [this.#soundPanel, this.#savePanel].find(({ hasFocus }) => hasFocus);
    if (panel) panel.close();
    else if (this.#client?.state === 'speaking') this.#interrupt();
    else this.#launcher.escape();
  }

  /** Update the lists of devices and voices, if they are shown. */
  #refreshSound() {
    if (!this.#soundPanel.shown) return;
    void this.#sound.refresh();
    void this.#refreshVoices();
  }

  /** Update the list of voices. The server is asked before the first conversation. */
  async #refreshVoices() {
    const { client } = this;
    if (!client.voices.length) client.voices = await offeredVoices(client.url);
    this.#sound.showVoices(client.voices, this.#choice.voice);
  }

  /** Update everything. @param {VoiceClient} client */
  #showAll(client) {
    this.#showTurns(client);
    this.#showState();
  }

  /** Update the controls and the waveform. */
  #showState() {
    const client = this.#client;
    const state = client?.state ?? 'idle';
    this.#showControls();
    this.#launcher.live = !isAtRest(state);
    this.#waveform.voiceName = voiceName(client?.voice || this.#choice.voice);
    this.#waveform.whole = state !== 'reconnecting' && state !== 'recovering';
    if (client && !isAtRest(state)) {
      this.#waveform.start(() => ({ person: client.microphone, voice: client.loudspeaker }));
    } else {
      this.#waveform.stop();
    }
  }

  /** Update the transcript, and the latency of its last answer. @param {VoiceClient} client */
  #showConversation(client) {
    this.#showTurns(client);
    this.#showControls();
  }

  /** Update the controls, which also show the latency of the last answer. */
  #showControls() {
    this.#controls.show({ ...controlsStateOf(this.#client), trouble: this.#trouble });
  }

  /** Update the transcript. @param {VoiceClient} client */
  #showTurns(client) {
    const records = client.conversations;
    this.#transcript.show(records);
    this.#savePanel.button.hidden = !records.some(({ turns }) => turns.length);
    if (this.#savePanel.button.hidden) this.#savePanel.close();
    this.#opening.hidden = !this.#transcript.isEmpty;
    this.#transcript.node.hidden = this.#transcript.isEmpty;
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
  const { input, stalled } = client.soundState;
  return { state, muted, pushToTalk, talking, input, stalled, typing, responseMs };
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

const registry = globalThis.customElements;
if (registry && !registry.get('sonic-voice')) registry.define('sonic-voice', SonicVoice);
