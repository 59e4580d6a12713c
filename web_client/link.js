/**
 * The state of one conversation with the bridge, over one or more connections. No I/O, no clock.
 *
 *     begin ─► connecting ── ready ──► talking ── closed, with a code of the table ──► ended
 *                  ▲                    │    ▲                     │
 *                  │                  lost   ready, resumed        │ once, if `again`
 *                  │                    ▼    │                     │
 *                  │                reconnecting ── keep_s ──► ended
 *                  └───────────────────────────────────────────────┘
 *
 * The owner of the socket reports each event, with the time in milliseconds of any monotonic clock.
 * Each call returns effects, which the owner must carry out in order, before it reports anything
 * else. The owner must also call `tick` at `dueMs`.
 *
 * A connection counts as lost when it is closed without a code of the table, when the browser
 * reports that it is offline, and when nothing has come for `SIGNS_MISSED` times the interval of
 * the server's `alive` messages: nothing else shows that a network has failed silently. A false
 * alarm does no harm, because a page may resume while its old connection is still open. So does a
 * connection whose server restarts (`RESTART_CODE`), or stops and has stored the conversation.
 */

import {
  GOODBYE,
  LOST,
  RESTART_CODE,
  STOPPING,
  STOPPING_CODE,
  UNREACHABLE,
  UNREADABLE,
  VoiceError,
  ending,
} from './closing.js';
import { Congestion } from './congestion.js';
import { isLater, readAnswer, voiceFrame } from './frames.js';
import { RESTARTING, noticeOf } from './link-notices.js';
import {
  ATTEMPT_MS,
  FIRST_WAIT_MS,
  KEEP_MS,
  LONGEST_WAIT_MS,
  REPORT_MS,
  RESULTS_KEPT,
  SIGNS_MISSED,
  VOICE_KEPT_S,
} from './link-limits.js';
import { BYE, INTERRUPT, hello, helloAgain, played, readMessage, say } from './messages.js';
import { IncomingPictures } from './pictures.js';

/** @import { Ending } from './closing.js' */
/** @import { Answer } from './frames.js' */
/** @import { Effect } from './link-effects.js' */
/** @import { HistoryMessage, Numbered, Position, Ready } from './messages.js' */

const BYTES_PER_SAMPLE = 2;

/**
 * A report of playback: the position that was played up to, and whether more is playing.
 *
 * @typedef {{ epoch: number, turn: number, samples: number, playing: boolean }} Report
 */

/** @typedef {'idle' | 'connecting' | 'talking' | 'reconnecting' | 'ended'} Phase */

/** The state machine of one conversation's connections. */
export class Link {
  /** @type {Phase} */
  phase = 'idle';
  /** Time at which to call `tick`. */
  dueMs = Infinity;
  /** Number of frames of the user's sound that were dropped. */
  droppedFrames = 0;

  #options;
  #trying = false;
  #tries = 0;
  #lostMs = 0;
  #keepMs = KEEP_MS;
  /** Whether the conversation survives a restart of the server. */
  #stored = false;
  /** Time without any message after which the connection is lost. */
  #silentMs = Infinity;
  /** The end of the conversation that this one replaces automatically. @type {Ending | null} */
  #replacedEnding = null;

  #resume = '';
  #seen = 0;
  #received = /** @type {Position} */ ({ turn: 0, samples: 0 });
  #epoch = 0;
  #inputHz = 16_000;
  /** @type {Report | null} */
  #report = null;
  #reportedMs = -Infinity;
  /** @type {ArrayBuffer[]} */
  #voice = [];
  #congestion = new Congestion();
  /** Results of tools that wait for a connection. @type {string[]} */
  #results = [];
  #pictures = new IncomingPictures();

  /** @param {{ voice?: string, language?: string }} [options]  empty values: the server's choice */
  constructor({ voice = '', language = '' } = {}) {
    this.#options = { voice, language };
  }

  // -- the socket -------------------------------------------------------------------------------

  /** Begin the conversation. @returns {Effect[]} */
  begin() {
    this.phase = 'connecting';
    return this.#open();
  }

  /**
   * Report that the socket is being opened, after the devices and the token were obtained.
   *
   * @param {number} nowMs
   */
  opening(nowMs) {
    this.dueMs = nowMs + ATTEMPT_MS;
  }

  /**
   * Report that the socket is open.
   *
   * @param {string} token  used for a new conversation only
   * @param {readonly HistoryMessage[]} [history]  words of earlier conversations, likewise
   * @returns {Effect[]}
   */
  opened(token, history) {
    const again = this.phase === 'reconnecting';
    const frame = again
      ? helloAgain(this.#resume, this.#seen, this.#received)
      : hello({ token, ...this.#options, history: history ?? [] });
    return [{ do: 'send', frame }];
  }

  /**
   * Report that a frame was received.
   *
   * @param {string | ArrayBuffer} frame
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  received(frame, nowMs) {
    const decoded = typeof frame === 'string' ? readMessage(frame) : readAnswer(frame);
    if (decoded === null) return [{ do: 'close' }, ...this.fail(UNREADABLE)];
    if (this.phase === 'talking') this.dueMs = nowMs + this.#silentMs;
    if (!('type' in decoded)) return this.#handleAnswer(decoded);
    if ('seq' in decoded) return this.#handleMessage(decoded);
    if (decoded.type === 'picture_data') return this.#pictures.take(decoded);
    return decoded.type === 'ready' ? this.#ready(decoded, nowMs) : [];
  }

  /**
   * Report that the socket is closed, or could not be opened.
   *
   * @param {number} code
   * @param {string} reason
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  closed(code, reason, nowMs) {
    if (code === RESTART_CODE) return this.#restarted(nowMs);
    const over = ending(code, reason);
    const restarts = code === STOPPING_CODE && this.#stored && this.phase !== 'ended';
    if (over === null || restarts) return this.lost(nowMs);
    if (!over.again || this.#replacedEnding) return this.fail(over);
    this.#replacedEnding = over;
    this.phase = 'connecting';
    const text = `${new VoiceError(over).message} A new conversation begins.`;
    return [{ do: 'drop' }, { do: 'notice', text }, ...this.#wait(nowMs, true)];
  }

  /**
   * Report that the connection, or the attempt to connect, has failed.
   *
   * @param {number} nowMs
   * @param {Ending} [because]  why a first attempt has failed, as far as it is known
   * @param {string} [text]  what the user is told of a conversation
   * @returns {Effect[]}
   */
  lost(nowMs, because = UNREACHABLE, text = 'The connection was lost. Trying again.') {
    if (this.phase === 'talking') {
      this.phase = 'reconnecting';
      return [{ do: 'drop' }, { do: 'notice', text }, ...this.#wait(nowMs, true)];
    }
    if (!this.#trying) return [];
    if (this.phase === 'connecting' && !this.#replacedEnding) return this.fail(because);
    return [{ do: 'drop' }, ...this.#wait(nowMs)];
  }

  /**
   * Report that `dueMs` may have passed.
   *
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  tick(nowMs) {
    if (nowMs < this.dueMs) return [];
    return this.#trying || this.phase === 'talking' ? this.lost(nowMs) : this.#open();
  }

  /**
   * Connect now instead of waiting: the network is back, or the user asks for it.
   *
   * @returns {Effect[]}
   */
  retryNow() {
    const isWaiting = !this.#trying && this.phase !== 'talking' && this.dueMs < Infinity;
    return isWaiting ? this.#open() : [];
  }

  /**
   * End the conversation.
   *
   * @param {Ending} because
   * @returns {Effect[]}
   */
  fail(because) {
    if (this.phase === 'idle' || this.phase === 'ended') return [];
    this.phase = 'ended';
    this.#trying = false;
    this.dueMs = Infinity;
    this.#voice = [];
    return [{ do: 'drop' }, { do: 'end', ending: because }];
  }

  // -- the user ---------------------------------------------------------------------------------

  /**
   * Send sound of the user. What the network does not take in time is dropped.
   *
   * @param {Int16Array} samples
   * @param {number} unsentBytes  bytes that wait in the socket
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  voice(samples, unsentBytes, nowMs) {
    if (this.phase !== 'talking') {
      if (this.phase !== 'idle' && this.phase !== 'ended') this.#keep(voiceFrame(samples));
      return [];
    }
    if (this.#congestion.drops(unsentBytes / this.#bytes(1), nowMs)) {
      this.droppedFrames += 1;
      return [];
    }
    return [{ do: 'send', frame: voiceFrame(samples) }];
  }

  /**
   * Pass on a report of playback. The server receives one ten times a second, when sound has ended,
   * and at once after a flush.
   *
   * @param {Report} report
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  played(report, nowMs) {
    if (report.epoch !== this.#epoch) return [];
    const urgent = !report.playing || this.#report?.epoch !== report.epoch;
    this.#report = report;
    if (this.phase !== 'talking' || (!urgent && nowMs - this.#reportedMs < REPORT_MS)) return [];
    this.#reportedMs = nowMs;
    return [{ do: 'send', frame: played(report) }];
  }

  /**
   * Send a typed turn.
   *
   * @param {string} text
   * @returns {Effect[]}
   * @throws {VoiceError} if it cannot be sent
   */
  say(text) {
    const frame = say(text);
    if (frame === null) throw mistake('This is empty or too long. Write up to 2,000 characters.');
    if (this.phase !== 'talking') {
      throw mistake('There is no connection just now. Send it again when there is.');
    }
    return [{ do: 'send', frame }];
  }

  /**
   * Send the result of a tool, now or when there is a connection again.
   *
   * @param {string} frame
   * @returns {Effect[]}
   */
  answerTool(frame) {
    if (this.phase === 'talking') return [{ do: 'send', frame }];
    this.#results = [...this.#results, frame].slice(-RESULTS_KEPT);
    return [];
  }

  /**
   * Cut the answer off.
   *
   * @returns {Effect[]}
   */
  interrupt() {
    return this.phase === 'talking' ? [{ do: 'send', frame: INTERRUPT }] : [];
  }

  /**
   * End the conversation at the user's request.
   *
   * @returns {Effect[]}
   */
  leave() {
    if (this.phase !== 'talking') return this.fail(GOODBYE);
    return [{ do: 'send', frame: BYE }, { do: 'close' }, ...this.fail(GOODBYE)];
  }

  // -- internals --------------------------------------------------------------------------------

  /** Open a socket. @returns {Effect[]} */
  #open() {
    this.#trying = true;
    this.dueMs = Infinity;
    return [{ do: 'open', fresh: this.phase === 'connecting' }];
  }

  /** Connect again, to another server, because this one asks for it. @param {number} nowMs */
  #restarted(nowMs) {
    const { phase } = this;
    if (phase === 'connecting' && !this.#replacedEnding) {
      this.#replacedEnding = STOPPING;
      return [/** @type {Effect} */ ({ do: 'drop' }), ...this.#wait(nowMs, true)];
    }
    return phase === 'ended' ? [] : this.lost(nowMs, UNREACHABLE, RESTARTING);
  }

  /**
   * Wait before the next attempt to connect, or give up.
   *
   * @param {number} nowMs
   * @param {boolean} [first]  whether the connection was lost just now
   * @returns {Effect[]}
   */
  #wait(nowMs, first = false) {
    if (first) [this.#tries, this.#lostMs] = [0, nowMs];
    this.#trying = false;
    const leftMs = this.#lostMs + this.#keepMs - nowMs;
    if (leftMs <= 0) {
      return this.fail((this.phase === 'connecting' && this.#replacedEnding) || LOST);
    }
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** this.#tries, LONGEST_WAIT_MS, leftMs);
    this.#tries += 1;
    this.dueMs = nowMs + waitMs;
    return [];
  }

  /**
   * Handle `ready`: the connection may be used.
   *
   * @param {Ready} ready
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  #ready(ready, nowMs) {
    /** @type {Effect[]} */
    const effects = [];
    if (!ready.resumed) {
      this.#results = [];
      this.#pictures = new IncomingPictures();
      this.#seen = 0;
      this.#received = { turn: 0, samples: 0 };
    }
    if (!ready.resumed || isLater(ready.epoch, this.#epoch)) {
      this.#epoch = ready.epoch;
      this.#report = null;
      effects.push({ do: 'flush', epoch: ready.epoch });
    }
    effects.push({ do: 'deliver', message: ready });
    if (this.phase === 'reconnecting') {
      effects.push({ do: 'notice', text: 'Connected again. The conversation goes on.' });
    } else if (this.#replacedEnding) {
      effects.push({ do: 'notice', text: 'Connected again.' });
    }
    // The ring may have run dry meanwhile, and the server sends more only after a report.
    if (this.#report) effects.push({ do: 'send', frame: played(this.#report) });
    const waiting = [...this.#voice.splice(0), ...this.#results.splice(0)];
    for (const frame of waiting) effects.push({ do: 'send', frame });

    this.phase = 'talking';
    this.#trying = false;
    this.#silentMs = SIGNS_MISSED * 1000 * (ready.alive_s ?? Infinity);
    this.dueMs = nowMs + this.#silentMs;
    this.#resume = ready.resume;
    this.#keepMs = ready.keep_s * 1000;
    this.#stored = ready.stored ?? false;
    this.#inputHz = ready.input.rate_hz;
    return effects;
  }

  /**
   * Handle a message of the conversation. One that was received before is ignored.
   *
   * @param {Numbered} message
   * @returns {Effect[]}
   */
  #handleMessage(message) {
    if (message.seq <= this.#seen) return [];
    this.#seen = message.seq;
    if (message.type === 'notice') return [{ do: 'notice', text: message.text }];
    if (message.type === 'picture') this.#pictures.expect(message);
    if (message.type !== 'flush') {
      const text = noticeOf(message);
      /** @type {Effect[]} */
      const shown = text ? [{ do: 'notice', text }] : [];
      return [{ do: 'deliver', message }, ...shown];
    }
    // A flush that is repeated after `ready` has named a later epoch is obsolete.
    if (!isLater(message.epoch, this.#epoch)) return [];
    this.#epoch = message.epoch;
    this.#report = null;
    return [{ do: 'flush', epoch: message.epoch }, { do: 'deliver', message }];
  }

  /**
   * Handle a frame of an answer. One of an old epoch is not played.
   *
   * @param {Answer} answer
   * @returns {Effect[]}
   */
  #handleAnswer(answer) {
    this.#received = { turn: answer.turn, samples: answer.start + answer.samples.length };
    return answer.epoch === this.#epoch ? [{ do: 'play', answer }] : [];
  }

  /** Keep a frame of the user's sound until there is a connection. @param {ArrayBuffer} frame */
  #keep(frame) {
    this.#voice.push(frame);
    while (this.#voice.length * frame.byteLength > this.#bytes(VOICE_KEPT_S)) {
      this.#voice.shift();
      this.droppedFrames += 1;
    }
  }

  /** Return the size of the user's sound in bytes. @param {number} seconds */
  #bytes(seconds) {
    return seconds * this.#inputHz * BYTES_PER_SAMPLE;
  }
}

/** Return the error for a call that cannot be carried out. @param {string} reason */
function mistake(reason) {
  return new VoiceError({ code: 0, reason, again: false });
}
