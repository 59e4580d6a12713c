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

import { openArchive } from './archive.js';
import { UNREACHED } from './audio/sound-error.js';
import { choiceOf, nextAddress, nextToken, talkUrl } from './client-options.js';
import { FILTERED_CODE, VoiceError, endingOf } from './closing.js';
import { ConversationLog } from './conversation-log.js';
import { Conversation } from './conversation.js';
import { Link } from './link.js';
import { runTool } from './page-tools.js';
import { PageWatch } from './page-watch.js';
import { whyUnreachable } from './reachability.js';
import { savedTranscript } from './saved-transcript.js';
import { openSocket } from './socket.js';
import { Sound } from './sound.js';

/** @import { ConversationRecord } from './archive.js' */
/** @import { Options } from './client-options.js' */
/** @import { Ending } from './closing.js' */
/** @import { Activity, Turn } from './conversation.js' */
/** @import { Answer } from './frames.js' */
/** @import { Effect } from './link-effects.js' */
/** @import { ServerMessage, ToolSpec, VoiceChoice } from './messages.js' */
/** @import { Tools } from './page-tools.js' */
/** @import { Format } from './saved-transcript.js' */

export { VoiceError } from './closing.js';

/** @typedef {'idle' | 'reconnecting' | 'ended' | Activity} State */

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
  /** The functions of the page's tools, by name. May be set. @type {Tools} */
  tools = {};
  /** The offered voices, the default first; none until connected. @type {readonly VoiceChoice[]} */
  voices = [];

  /** The address of the server's WebSocket. */
  url = '';
  #url;
  #options;
  #fetchToken;
  #fetchAddress;
  #sound;

  #link = new Link();
  #conversation = new Conversation();
  /** @type {State} */
  #state = 'idle';
  /** @type {readonly Turn[]} */
  #turns = this.#conversation.turns;
  #log;
  /** @type {readonly ToolSpec[]} */
  #toolSpecs = [];

  /** Aborted when the connection is over. */
  #connection = new AbortController();
  /** @type {WebSocket | null} */
  #socket = null;
  #watch = new PageWatch({
    clockS: () => this.loudspeaker?.clockS,
    onOffline: () => this.#do(this.#link.lost(performance.now())),
    onOnline: () => this.#do(this.#link.retryNow()),
    onStalled: (stalled) => this.#reportSound(this.#sound.state.stall(stalled)),
    onSlept: (seconds) =>
      this.#notice(`The page was asleep for ${seconds} s, and heard nothing meanwhile.`),
    onHidden: () => this.#log.save(),
  });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Promise<void>} */
  #connected = Promise.resolve();
  /** @type {{ resolve: () => void, reject: (error: VoiceError) => void } | null} */
  #waiting = null;

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    this.#url = talkUrl(options.url);
    this.url = this.#url.href;
    this.#options = choiceOf(options);
    this.#fetchAddress = options.fetchAddress;
    this.#fetchToken = options.fetchToken ?? (() => options.token ?? '');
    this.#sound = new Sound(
      {
        onSamples: (samples) => this.#heard(samples),
        onPlayed: (report) => this.#played(report),
        onChange: (text) => this.#reportSound(text),
      },
      options.sound,
    );
    const { after, storageKey = `sonic-voice ${this.url}` } = options;
    const archive = after ? after.#log.handOver() : openArchive(storageKey);
    this.#log = new ConversationLog(archive, this.url, this);
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
    this.#watch.start();
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

  /**
   * Choose the voice and the language of the next conversation.
   *
   * @param {{ voice: string, language: string }} choice  empty values: the server's choice
   */
  choose({ voice, language }) {
    this.#options = { voice, language };
  }

  /** `input`: the microphone is `open`, `missing` or `muted`; `stalled`: the sound stands still. */
  get soundState() {
    return this.#sound.state;
  }

  /** The volume of the answers, 0 to 1. May be set. */
  get volume() {
    return this.#sound.volume;
  }

  set volume(volume) {
    this.#sound.volume = volume;
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

  /**
   * All conversations of this page, the current one last. They are never modified, only replaced.
   *
   * @returns {readonly ConversationRecord[]}
   */
  get conversations() {
    return this.#log.all;
  }

  /**
   * Return what was said and heard in all conversations of this page.
   *
   * @param {Format} [format]
   */
  transcript(format = 'text') {
    return savedTranscript(this.conversations, format);
  }

  /** Remove the words of earlier conversations; and of the last one, if it is over. */
  forget() {
    const isOver = this.state === 'idle' || this.state === 'ended';
    if (isOver) this.#conversation = new Conversation();
    this.#log.forget(isOver);
    this.#emit('turns');
  }

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
      if (!signal.aborted) await this.#openSocket(fresh, signal);
    } catch (error) {
      if (signal.aborted) return;
      const unreached = error instanceof Error && error.name === UNREACHED;
      const again = this.#link.phase === 'reconnecting' && error instanceof VoiceError;
      if (unreached || again) this.#do(this.#link.lost(performance.now()));
      else this.#fail(error);
    }
  }

  /**
   * Open the socket.
   *
   * @param {boolean} fresh  whether a new conversation begins
   * @param {AbortSignal} signal  closes it
   */
  async #openSocket(fresh, signal) {
    const token = fresh ? await nextToken(this.#fetchToken) : '';
    if (signal.aborted) return;
    this.#link.opening(performance.now());
    this.#rearm();
    const address = await nextAddress(this.#url, this.#fetchAddress);
    if (signal.aborted) return;
    const callbacks = {
      onOpen: () => this.#do(this.#link.opened(token, this.#log.history())),
      onFrame: (/** @type {string | ArrayBuffer} */ frame) =>
        this.#do(this.#link.received(frame, performance.now())),
      onClosed: (/** @type {{ code: number, reason: string } | null} */ close) => {
        if (close) this.#do(this.#link.closed(close.code, close.reason, performance.now()));
        else void this.#diagnose(signal);
      },
    };
    this.#socket = openSocket(address, callbacks, signal);
    this.#link.opening(performance.now());
    this.#rearm();
  }

  /** Find out why the socket could not be opened. @param {AbortSignal} signal */
  async #diagnose(signal) {
    // Only a bridge has `/healthz` beside its WebSocket.
    const isFirst = this.#link.phase === 'connecting' && !this.#fetchAddress;
    const because = isFirst ? await whyUnreachable(this.#url) : undefined;
    if (!signal.aborted) this.#do(this.#link.lost(performance.now(), because));
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

  /** Begin a conversation. @param {number} known  the number of earlier messages that it knows */
  #begin(known) {
    this.#log.begin();
    this.#conversation = new Conversation();
    if (!this.#log.hasEarlier) return;
    const knows = known ? 'knows the last' : 'does not know the';
    this.#notice(`A new conversation has begun. It ${knows} words above.`);
  }

  /** Handle a message of the server. @param {ServerMessage} message */
  #handle(message) {
    if (message.type === 'ready') {
      if (!message.resumed) this.#begin(message.history ?? 0);
      this.voice = message.voice;
      this.typing = message.typing;
      if (message.voices?.length) this.voices = message.voices;
      this.#toolSpecs = message.page_tools ?? [];
      const { missing } = this.#sound.state;
      if (missing && !message.typing) this.#fail(missing);
      const rates = { inputHz: message.input.rate_hz, outputHz: message.output.rate_hz };
      const { signal } = this.#connection;
      this.#sound.useRates(rates, signal).catch((error) => this.#fail(error));
    }
    this.#conversation.handle(message, Date.now());
    if (message.type === 'listening') this.#waiting?.resolve();
    if (message.type === 'page_tool') void this.#runTool(message);
  }

  /** Carry out a call of a tool. @param {Parameters<typeof runTool>[0]} call */
  async #runTool(call) {
    const link = this.#link;
    const frame = await runTool(call, this.#toolSpecs, this.tools);
    if (link === this.#link) this.#do(link.answerTool(frame)); // else it is another conversation's
  }

  /** Close everything at the end of a conversation. @param {Ending} ending */
  #end(ending) {
    this.#watch.stop();
    this.#conversation.end();
    void this.#sound.close();
    this.#log.sendsHistory = ending.code !== FILTERED_CODE;
    this.#waiting?.reject(new VoiceError(ending));
    this.#announce();
    this.#log.save();
    this.#emit('ended', ending);
  }

  /** Dispatch events for what has changed. */
  #announce() {
    if (this.#turns !== this.turns) {
      this.#turns = this.turns;
      this.#log.saveSoon();
      this.#emit('turns');
    }
    if (this.#state !== this.state) this.#announceState();
  }

  /** Dispatch the event for the state, or for something that belongs to it. */
  #announceState() {
    this.#state = this.state;
    this.#emit('state', { state: this.#state });
  }

  /** @type {(text: string) => void} */
  #notice = (text) => this.#emit('notice', { text });

  /** @type {(name: 'state' | 'turns' | 'notice' | 'ended', detail?: object) => void} */
  #emit = (name, detail) => void this.dispatchEvent(new CustomEvent(name, { detail }));

  /** Tell the user of a change of the devices. @param {string} text  empty if there is none */
  #reportSound(text) {
    if (!text) return;
    this.#notice(text);
    this.#announceState();
  }

  /** Send sound of the microphone, or silence if it is muted. @param {Int16Array} samples */
  #heard(samples) {
    const silent = this.muted || (this.pushToTalk && !this.talking);
    const sent = silent ? new Int16Array(samples.length) : samples;
    this.#do(this.#link.voice(sent, this.#socket?.bufferedAmount ?? 0, performance.now()));
  }

  /** Handle a report of the loudspeaker. @param {import('./link.js').Report} report */
  #played(report) {
    this.#conversation.played(report);
    this.#do(this.#link.played(report, performance.now()));
  }
}
