/**
 * A spoken conversation in a page: joins socket, microphone and loudspeaker.
 *
 *     microphone ──► Link.voice ──►                 ──► Link.received ──► Conversation ──► events
 *                                   WebSocket /talk                  └──► Loudspeaker
 *                ◄── Link.played ◄──────────────────────────────────────────┘
 *
 * What is decided, `Link` and `Conversation` decide; here is what they cannot have: time and the
 * socket. `Sound` has the devices. README.md shows how to use it.
 */

import { UNREACHED } from './audio/sound-error.js';
import { BROKEN, NO_TOKEN, VoiceError } from './closing.js';
import { Conversation } from './conversation.js';
import { Link } from './link.js';
import { SUBPROTOCOL } from './messages.js';
import { Sound } from './sound.js';

/** @import { Ending } from './closing.js' */
/** @import { Activity, Turn } from './conversation.js' */
/** @import { Answer } from './frames.js' */
/** @import { Effect, Report } from './link.js' */
/** @import { ServerMessage } from './messages.js' */
/** @import { Kinds } from './sound.js' */

export { VoiceError } from './closing.js';

/** @typedef {'idle' | 'reconnecting' | 'ended' | Activity} State */

/**
 * See README.md.
 *
 * @typedef {{ url?: string | URL, token?: string, voice?: string, language?: string,
 *   fetchToken?: (() => Promise<string>) | undefined, sound?: Kinds }} Options
 */

/** Events: `state`, `turns`, `notice` (detail `{text}`), `ended` (`{code, reason, again}`). */
export class VoiceClient extends EventTarget {
  /** Send silence. */
  muted = false;
  /** Send silence except while `talking`. */
  pushToTalk = false;
  talking = false;

  /** The voice that speaks, and whether `sendText` is taken. */
  voice = '';
  typing = false;

  #url;
  #options;
  #fetchToken;
  #sound;

  #link = new Link();
  #conversation = new Conversation();
  /** @type {State} */
  #state = 'idle';
  /** @type {readonly Turn[]} */
  #turns = this.#conversation.turns;

  /** Of a connection; it is over when this is aborted. */
  #connection = new AbortController();
  /** @type {WebSocket | null} */
  #socket = null;
  /** Of a conversation: who listens for the browser's network. */
  #watch = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Promise<void>} */
  #connected = Promise.resolve();
  /** @type {{ resolve: () => void, reject: (error: VoiceError) => void } | null} */
  #waiting = null;

  /** @param {Options} [options] */
  constructor({ url, token = '', voice = '', language = '', fetchToken, sound } = {}) {
    super();
    this.#url = url ? new URL(url, globalThis.location?.href) : new URL('./talk', import.meta.url);
    this.#url.protocol = this.#url.protocol.replace('http', 'ws');
    this.#options = { voice, language };
    this.#fetchToken = fetchToken ?? (() => token);
    this.#sound = new Sound(
      {
        onSamples: (samples) => this.#heard(samples),
        onPlayed: (report) => this.#played(report),
        onGone: (error) => this.#missMicrophone(error),
      },
      sound,
    );
  }

  /**
   * Begin a conversation: microphone, loudspeaker, socket. Call it where the user has clicked, or
   * the browser plays nothing. While there is a conversation, does nothing.
   *
   * @returns {Promise<void>}  the service listens. Rejects with `VoiceError`; `ended` comes, too
   */
  connect() {
    const { phase } = this.#link;
    if (phase !== 'idle' && phase !== 'ended') return this.#connected;
    this.#link = new Link(this.#options);
    this.#connected = new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
    this.#watchNetwork();
    this.#do(this.#link.begin());
    return this.#connected;
  }

  /** The goodbye: the conversation is over, and the devices are let go. */
  close() {
    this.#do(this.#link.leave());
  }

  /**
   * After the end, a new conversation; while the connection is lost, try at once.
   *
   * @returns {Promise<void>}  as `connect`
   */
  reconnect() {
    this.#do(this.#link.retryNow());
    return this.connect();
  }

  /**
   * A typed turn. Throws `VoiceError` when it cannot be sent.
   *
   * @param {string} text  up to 2,000 characters
   */
  sendText(text) {
    this.#do(this.#link.say(text));
  }

  /** Cut the answer off. */
  interrupt() {
    this.#do(this.#link.interrupt());
  }

  /**
   * Choose devices, now or for later; `''` is the browser's choice. Rejects with `SoundError`, and
   * then those before are kept.
   *
   * @param {{ input?: string, output?: string }} devices  ids of `devices()`
   */
  useDevices(devices) {
    return this.#sound.use(devices);
  }

  /** While there is a conversation: for `level()` and `wave()`. */
  get microphone() {
    return this.#sound.microphone;
  }

  get loudspeaker() {
    return this.#sound.loudspeaker;
  }

  /** @returns {State} */
  get state() {
    const { phase } = this.#link;
    return phase === 'talking' ? this.#conversation.activity : phase;
  }

  /** What has been said, newest last. What changes is replaced, never changed. */
  get turns() {
    return this.#conversation.turns;
  }

  /** From the end of speech to the audible answer, of the last one. */
  get responseMs() {
    return this.#conversation.responseMs;
  }

  /** Frames of the user's sound that the network had no room for. */
  get droppedFrames() {
    return this.#link.droppedFrames;
  }

  /** The conversation as plain text. */
  transcript() {
    return this.#conversation.transcript();
  }

  // -- what the link wants done -----------------------------------------------------------------

  /** @param {Effect[]} effects */
  #do(effects) {
    for (const effect of effects) this.#act(effect);
    this.#rearm();
    this.#announce();
  }

  /** @param {Effect} effect */
  #act(effect) {
    if (effect.do === 'open') void this.#open(effect.fresh);
    else if (effect.do === 'drop') this.#hangUp();
    else if (effect.do === 'close') this.#socket?.close(1000);
    else if (effect.do === 'send') this.#socket?.send(effect.frame);
    else if (effect.do === 'flush') this.loudspeaker?.flush(effect.epoch);
    else if (effect.do === 'play') this.#play(effect.answer);
    else if (effect.do === 'deliver') this.#hear(effect.message);
    else if (effect.do === 'notice') this.#emit('notice', { text: effect.text });
    else this.#end(effect.ending);
  }

  /** @param {boolean} fresh */
  async #open(fresh) {
    this.#hangUp();
    const { signal } = (this.#connection = new AbortController());
    if (fresh) this.#conversation.end();
    try {
      if (fresh) await this.#sound.close(); // of the conversation that this one replaces
      await this.#sound.open(signal); // when resuming it is, and sounds on
      const token = fresh && !signal.aborted ? await this.#token() : '';
      if (!signal.aborted) this.#openSocket(token, signal);
    } catch (error) {
      if (signal.aborted) return;
      const unreached = error instanceof Error && error.name === UNREACHED;
      if (unreached) this.#do(this.#link.lost(performance.now()));
      else this.#fail(error);
    }
  }

  /**
   * @param {string} token
   * @param {AbortSignal} signal
   */
  #openSocket(token, signal) {
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => this.#do(this.#link.opened(token));
    socket.onmessage = ({ data }) => this.#do(this.#link.received(data, performance.now()));
    socket.onclose = ({ code, reason }) =>
      this.#do(this.#link.closed(code, reason, performance.now()));
    signal.addEventListener('abort', () => {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    });
    this.#socket = socket;
    this.#link.opening(performance.now());
    this.#rearm();
  }

  async #token() {
    try {
      return await this.#fetchToken();
    } catch (cause) {
      throw new VoiceError(NO_TOKEN, { cause });
    }
  }

  #hangUp() {
    this.#connection.abort();
    this.#socket = null;
  }

  #rearm() {
    clearTimeout(this.#timer);
    const { dueMs } = this.#link;
    if (dueMs === Infinity) return;
    const tick = () => this.#do(this.#link.tick(performance.now()));
    this.#timer = setTimeout(tick, dueMs - performance.now());
  }

  #watchNetwork() {
    const { signal } = (this.#watch = new AbortController());
    const lost = () => this.#do(this.#link.lost(performance.now()));
    const back = () => this.#do(this.#link.retryNow());
    globalThis.window?.addEventListener('offline', lost, { signal });
    globalThis.window?.addEventListener('online', back, { signal });
  }

  /** @param {unknown} cause */
  #fail(cause) {
    const because = endingOf(cause);
    this.#waiting?.reject(new VoiceError(because, { cause }));
    this.#do(this.#link.fail(because));
  }

  /** @param {Answer} answer */
  #play(answer) {
    this.#conversation.audioReceived({ turn: answer.turn, samples: answer.start + answer.samples.length });
    this.loudspeaker?.play(answer);
  }

  /** @param {ServerMessage} message */
  #hear(message) {
    if (message.type === 'ready') {
      if (!message.resumed) this.#conversation = new Conversation();
      this.voice = message.voice;
      this.typing = message.typing;
      const rates = { inputHz: message.input.rate_hz, outputHz: message.output.rate_hz };
      const { signal } = this.#connection;
      this.#sound.useRates(rates, signal).catch((error) => this.#fail(error));
    }
    this.#conversation.handle(message);
    if (message.type === 'listening') this.#waiting?.resolve();
  }

  /** @param {Ending} ending */
  #end(ending) {
    this.#watch.abort();
    this.#conversation.end();
    void this.#sound.close();
    this.#waiting?.reject(new VoiceError(ending));
    this.#announce();
    this.#emit('ended', ending);
  }

  #announce() {
    if (this.#turns !== this.turns) {
      this.#turns = this.turns;
      this.#emit('turns');
    }
    if (this.#state !== this.state) {
      this.#state = this.state;
      this.#emit('state', { state: this.#state });
    }
  }

  /** @type {(name: 'state' | 'turns' | 'notice' | 'ended', detail?: object) => void} */
  #emit = (name, detail) => void this.dispatchEvent(new CustomEvent(name, { detail }));

  // -- sound ------------------------------------------------------------------------------------

  /** @param {unknown} error  there is no other */
  #missMicrophone(error) {
    const next = error ? endingOf(error).reason : 'The default one is used now.';
    this.#emit('notice', { text: `The microphone is gone. ${next}` });
  }

  /** @param {Int16Array} samples */
  #heard(samples) {
    const silent = this.muted || (this.pushToTalk && !this.talking);
    const sent = silent ? new Int16Array(samples.length) : samples;
    this.#do(this.#link.voice(sent, this.#socket?.bufferedAmount ?? 0));
  }

  /** @param {Report} report */
  #played(report) {
    this.#conversation.played(report);
    this.#do(this.#link.played(report, performance.now()));
  }
}

/** What to say of it: errors of devices have words. @param {unknown} error @returns {Ending} */
function endingOf(error) {
  if (error instanceof Error && 'hint' in error) {
    return { code: 0, reason: `${error.message} ${error.hint}`, again: true };
  }
  return BROKEN;
}
