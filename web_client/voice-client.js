/**
 * A spoken conversation in a page: it connects WebSocket, microphone and loudspeaker.
 *
 *     microphone ──► Link.voice ──►                 ──► Link.received ──► Conversation ──► events
 *                                   WebSocket /talk                  └──► Loudspeaker
 *                ◄── Link.played ◄──────────────────────────────────────────┘
 *
 * `Link` and `Conversation` make the decisions. This module adds time and the socket; `Sound` has
 * the devices. README.md shows how to use it.
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
/** @import { DeviceClasses } from './sound.js' */

export { VoiceError } from './closing.js';

/** @typedef {'idle' | 'reconnecting' | 'ended' | Activity} State */

/**
 * The options of a client; README.md describes them.
 *
 * @typedef {{ url?: string | URL, token?: string, voice?: string, language?: string,
 *   fetchToken?: (() => Promise<string>) | undefined, sound?: DeviceClasses }} Options
 */

/**
 * A client of the bridge. It dispatches the events `state`, `turns`, `notice` (detail `{text}`) and
 * `ended` (detail `{code, reason, again}`).
 */
export class VoiceClient extends EventTarget {
  /** Whether to send silence. May be set. */
  muted = false;
  /** Whether to send silence except while `talking`. May be set. */
  pushToTalk = false;
  /** Whether the user holds the button to talk. May be set. */
  talking = false;

  /** The voice that speaks. */
  voice = '';
  /** Whether typed turns are accepted by `sendText`. */
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

  /** Aborted when the connection is over. */
  #connection = new AbortController();
  /** @type {WebSocket | null} */
  #socket = null;
  /** Aborted when the conversation is over: ends the listeners for the browser's network. */
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
   * Begin a conversation: open microphone, loudspeaker and socket. Call it in a handler of a click,
   * or the browser plays nothing. During a conversation it does nothing.
   *
   * @returns {Promise<void>}  resolves when the service listens; rejects with `VoiceError`, and
   *   `ended` is then dispatched, too
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

  /** End the conversation, and close the devices. */
  close() {
    this.#do(this.#link.leave());
  }

  /**
   * Begin a new conversation after the end of one; while the connection is lost, try at once.
   *
   * @returns {Promise<void>}  as `connect`
   */
  reconnect() {
    this.#do(this.#link.retryNow());
    return this.connect();
  }

  /**
   * Send a typed turn.
   *
   * @param {string} text  up to 2,000 characters
   * @throws {VoiceError} if it cannot be sent
   */
  sendText(text) {
    this.#do(this.#link.say(text));
  }

  /** Cut off the answer. */
  interrupt() {
    this.#do(this.#link.interrupt());
  }

  /**
   * Choose devices, for now or for the next conversation. Rejects with `SoundError`; then the
   * device that failed is not changed.
   *
   * @param {{ input?: string, output?: string }} devices  ids of `devices()`; `''` is the browser's
   *   choice
   */
  useDevices(devices) {
    return this.#sound.use(devices);
  }

  /** The microphone during a conversation, else null; for its `level()` and `wave()`. */
  get microphone() {
    return this.#sound.microphone;
  }

  /** The loudspeaker during a conversation, else null; for its `level()` and `wave()`. */
  get loudspeaker() {
    return this.#sound.loudspeaker;
  }

  /** The state of the conversation. @returns {State} */
  get state() {
    const { phase } = this.#link;
    return phase === 'talking' ? this.#conversation.activity : phase;
  }

  /** The turns, newest last. The array and its turns are never modified; both are replaced. */
  get turns() {
    return this.#conversation.turns;
  }

  /** The response latency of the last answer, in milliseconds; null if there is none. */
  get responseMs() {
    return this.#conversation.responseMs;
  }

  /** Number of frames of the user's sound that were dropped because the network was too slow. */
  get droppedFrames() {
    return this.#link.droppedFrames;
  }

  /** Return the conversation as plain text. */
  transcript() {
    return this.#conversation.transcript();
  }

  // -- effects of the link ----------------------------------------------------------------------

  /** Carry out effects, and announce what has changed. @param {Effect[]} effects */
  #do(effects) {
    for (const effect of effects) this.#act(effect);
    this.#rearm();
    this.#announce();
  }

  /** Carry out one effect. @param {Effect} effect */
  #act(effect) {
    if (effect.do === 'open') void this.#open(effect.fresh);
    else if (effect.do === 'drop') this.#hangUp();
    else if (effect.do === 'close') this.#socket?.close(1000);
    else if (effect.do === 'send') this.#socket?.send(effect.frame);
    else if (effect.do === 'flush') this.loudspeaker?.flush(effect.epoch);
    else if (effect.do === 'play') this.#play(effect.answer);
    else if (effect.do === 'deliver') this.#handle(effect.message);
    else if (effect.do === 'notice') this.#emit('notice', { text: effect.text });
    else this.#end(effect.ending);
  }

  /** Open devices and socket. @param {boolean} fresh  whether a new conversation begins */
  async #open(fresh) {
    this.#hangUp();
    const { signal } = (this.#connection = new AbortController());
    if (fresh) this.#conversation.end();
    try {
      // Close the devices of the conversation that this one replaces. When a conversation is
      // resumed the devices are open and continue to play.
      if (fresh) await this.#sound.close();
      await this.#sound.open(signal);
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
   * Open the socket.
   *
   * @param {string} token
   * @param {AbortSignal} signal  closes it
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

  /** Return the token for a new conversation. @throws {VoiceError} if there is none */
  async #token() {
    try {
      return await this.#fetchToken();
    } catch (cause) {
      throw new VoiceError(NO_TOKEN, { cause });
    }
  }

  /** Abandon the socket. */
  #hangUp() {
    this.#connection.abort();
    this.#socket = null;
  }

  /** Set the timer to the link's next deadline. */
  #rearm() {
    clearTimeout(this.#timer);
    const { dueMs } = this.#link;
    if (dueMs === Infinity) return;
    const tick = () => this.#do(this.#link.tick(performance.now()));
    this.#timer = setTimeout(tick, dueMs - performance.now());
  }

  /** Listen for the browser's reports that the network is lost or back. */
  #watchNetwork() {
    const { signal } = (this.#watch = new AbortController());
    const lost = () => this.#do(this.#link.lost(performance.now()));
    const back = () => this.#do(this.#link.retryNow());
    globalThis.window?.addEventListener('offline', lost, { signal });
    globalThis.window?.addEventListener('online', back, { signal });
  }

  /** End the conversation because of an error. @param {unknown} cause */
  #fail(cause) {
    const because = endingOf(cause);
    this.#waiting?.reject(new VoiceError(because, { cause }));
    this.#do(this.#link.fail(because));
  }

  /** Play a frame. @param {Answer} answer */
  #play(answer) {
    const { turn, start, samples } = answer;
    this.#conversation.audioReceived({ turn, samples: start + samples.length });
    this.loudspeaker?.play(answer);
  }

  /** Handle a message of the server. @param {ServerMessage} message */
  #handle(message) {
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

  /** Close everything at the end of a conversation. @param {Ending} ending */
  #end(ending) {
    this.#watch.abort();
    this.#conversation.end();
    void this.#sound.close();
    this.#waiting?.reject(new VoiceError(ending));
    this.#announce();
    this.#emit('ended', ending);
  }

  /** Dispatch events for what has changed. */
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

  /**
   * Tell the user that the microphone was removed.
   *
   * @param {unknown} error  why no other could be opened; undefined if one was
   */
  #missMicrophone(error) {
    const next = error ? endingOf(error).reason : 'The default one is used now.';
    this.#emit('notice', { text: `The microphone is gone. ${next}` });
  }

  /** Send sound of the microphone, or silence if it is muted. @param {Int16Array} samples */
  #heard(samples) {
    const silent = this.muted || (this.pushToTalk && !this.talking);
    const sent = silent ? new Int16Array(samples.length) : samples;
    this.#do(this.#link.voice(sent, this.#socket?.bufferedAmount ?? 0));
  }

  /** Handle a report of the loudspeaker. @param {Report} report */
  #played(report) {
    this.#conversation.played(report);
    this.#do(this.#link.played(report, performance.now()));
  }
}

/**
 * Return the end of a conversation that an error means. Errors of devices have a hint.
 *
 * @param {unknown} error
 * @returns {Ending}
 */
function endingOf(error) {
  if (error instanceof Error && 'hint' in error) {
    return { code: 0, reason: `${error.message} ${error.hint}`, again: true };
  }
  return BROKEN;
}
