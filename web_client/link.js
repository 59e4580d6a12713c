/**
 * One conversation with the bridge, over as many connections as it takes. No I/O and no clock.
 *
 *     begin ─► connecting ── ready ──► talking ── closed, with a code of the table ──► ended
 *                  ▲                    │    ▲                     │
 *                  │                  lost   ready, resumed        │ again, once
 *                  │                    ▼    │                     │
 *                  │                reconnecting ── keep_s ──► ended
 *                  └───────────────────────────────────────────────┘
 *
 * Whoever owns the socket tells what happens to it, with the time in milliseconds of any clock, and
 * does what each call returns, in that order, before anything else; and calls `tick` at `dueMs`.
 *
 * A connection is taken for lost when it closes without a code of the table, when the browser says
 * it is offline, and when nothing at all has come for `SIGNS_MISSED` times as long as the server
 * lets pass without a sign of life: of a network that died without a word nothing else tells.
 * Being wrong costs nothing, since a page may resume while its old connection lives.
 */

import { GOODBYE, LOST, UNREACHABLE, UNREADABLE, VoiceError, ending } from './closing.js';
import { isLater, readAnswer, voiceFrame } from './frames.js';
import { BYE, INTERRUPT, hello, helloAgain, played, readMessage, say } from './messages.js';

/** @import { Ending } from './closing.js' */
/** @import { Answer } from './frames.js' */
/** @import { Numbered, Position, Ready, ServerMessage } from './messages.js' */

/** Before connecting again; then twice as long each time, up to the longest. */
export const FIRST_WAIT_MS = 250;
export const LONGEST_WAIT_MS = 4000;

/** From opening a socket to `ready`; browsers wait for minutes. */
export const ATTEMPT_MS = 8000;

/** For how long to try, before `ready` has told. */
export const KEEP_MS = 30_000;

/** Of what is said without a connection, so much is sent later: who speaks as it comes back. */
export const VOICE_KEPT_S = 1;

/** Unsent sound beyond which more is dropped: what comes so late helps nobody. */
export const CONGESTED_S = 0.5;

/** Signs of life in a row. One late by a stall of the network is no reason yet. */
export const SIGNS_MISSED = 3;

/** Between two reports of what has played: ten a second, and the jitter of who tells. */
export const REPORT_MS = 80;

const BYTES_PER_SAMPLE = 2;

/**
 * `open`: a socket, then say `opening` and `opened`; `fresh`: with a token. `drop`: be done with
 * the socket; the server is to keep the conversation. `close`: with 1000; it is to end it. `flush`
 * comes before all else that a message brings. After `end` nothing comes.
 *
 * @typedef {{ do: 'open', fresh: boolean } | { do: 'drop' } | { do: 'close' }
 *   | { do: 'send', frame: string | ArrayBuffer }
 *   | { do: 'flush', epoch: number } | { do: 'play', answer: Answer }
 *   | { do: 'deliver', message: ServerMessage } | { do: 'notice', text: string }
 *   | { do: 'end', ending: Ending }} Effect
 */

/**
 * What has left the loudspeaker, and whether more of it is sounding.
 *
 * @typedef {{ epoch: number, turn: number, samples: number, playing: boolean }} Report
 */

/** @typedef {'idle' | 'connecting' | 'talking' | 'reconnecting' | 'ended'} Phase */

export class Link {
  /** @type {Phase} */
  phase = 'idle';
  /** When to call `tick`. */
  dueMs = Infinity;
  /** Frames of the user's sound that were not sent. */
  droppedFrames = 0;

  #options;
  #trying = false;
  #tries = 0;
  #lostMs = 0;
  #keepMs = KEEP_MS;
  /** So long without anything that comes, and the connection is lost. */
  #silentMs = Infinity;
  /** Why the conversation ended that this one was begun after, by itself. @type {Ending | null} */
  #instead = null;

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

  /** @param {{ voice?: string, language?: string }} [options]  empty: the server's choice */
  constructor({ voice = '', language = '' } = {}) {
    this.#options = { voice, language };
  }

  // -- the socket -------------------------------------------------------------------------------

  /** @returns {Effect[]} */
  begin() {
    this.phase = 'connecting';
    return this.#open();
  }

  /**
   * The socket is being opened: sound and token are there.
   *
   * @param {number} nowMs
   */
  opening(nowMs) {
    this.dueMs = nowMs + ATTEMPT_MS;
  }

  /**
   * The socket is open.
   *
   * @param {string} token
   * @returns {Effect[]}
   */
  opened(token) {
    const again = this.phase === 'reconnecting';
    const frame = again
      ? helloAgain(this.#resume, this.#seen, this.#received)
      : hello({ token, ...this.#options });
    return [{ do: 'send', frame }];
  }

  /**
   * @param {string | ArrayBuffer} frame
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  received(frame, nowMs) {
    const told = typeof frame === 'string' ? readMessage(frame) : readAnswer(frame);
    if (told === null) return [{ do: 'close' }, ...this.fail(UNREADABLE)];
    if (this.phase === 'talking') this.dueMs = nowMs + this.#silentMs;
    if (!('type' in told)) return this.#hear(told);
    if ('seq' in told) return this.#obey(told);
    return told.type === 'ready' ? this.#ready(told, nowMs) : [];
  }

  /**
   * The socket is closed, or could not be opened.
   *
   * @param {number} code
   * @param {string} reason
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  closed(code, reason, nowMs) {
    const over = ending(code, reason);
    if (over === null) return this.lost(nowMs);
    if (!over.again || this.#instead) return this.fail(over);
    this.#instead = over;
    this.phase = 'connecting';
    const text = `${new VoiceError(over).message} A new conversation begins.`;
    return [{ do: 'drop' }, { do: 'notice', text }, ...this.#wait(nowMs, true)];
  }

  /**
   * The connection is of no use any more.
   *
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  lost(nowMs) {
    if (this.phase === 'talking') {
      this.phase = 'reconnecting';
      const text = 'The connection was lost. Trying again.';
      return [{ do: 'drop' }, { do: 'notice', text }, ...this.#wait(nowMs, true)];
    }
    if (!this.#trying) return [];
    if (this.phase === 'connecting' && !this.#instead) return this.fail(UNREACHABLE);
    return [{ do: 'drop' }, ...this.#wait(nowMs)];
  }

  /**
   * The time is `dueMs` or later.
   *
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  tick(nowMs) {
    if (nowMs < this.dueMs) return [];
    return this.#trying || this.phase === 'talking' ? this.lost(nowMs) : this.#open();
  }

  /**
   * Do not wait any longer: the network is back, or the user asks.
   *
   * @returns {Effect[]}
   */
  retryNow() {
    const isWaiting = !this.#trying && this.phase !== 'talking' && this.dueMs < Infinity;
    return isWaiting ? this.#open() : [];
  }

  /**
   * It is over.
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
   * The user's sound.
   *
   * @param {Int16Array} samples
   * @param {number} unsentBytes  what waits in the socket
   * @returns {Effect[]}
   */
  voice(samples, unsentBytes) {
    if (this.phase !== 'talking') {
      if (this.phase !== 'idle' && this.phase !== 'ended') this.#keep(voiceFrame(samples));
      return [];
    }
    if (unsentBytes > this.#bytes(CONGESTED_S)) {
      this.droppedFrames += 1;
      return [];
    }
    return [{ do: 'send', frame: voiceFrame(samples) }];
  }

  /**
   * The loudspeaker tells. Told to the server ten times a second, when sound has ended, and at once
   * after a flush.
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
   * A typed turn. Throws `VoiceError`, and then nothing has been said.
   *
   * @param {string} text
   * @returns {Effect[]}
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
   * Cut the answer off.
   *
   * @returns {Effect[]}
   */
  interrupt() {
    return this.phase === 'talking' ? [{ do: 'send', frame: INTERRUPT }] : [];
  }

  /**
   * The goodbye.
   *
   * @returns {Effect[]}
   */
  leave() {
    if (this.phase !== 'talking') return this.fail(GOODBYE);
    return [{ do: 'send', frame: BYE }, { do: 'close' }, ...this.fail(GOODBYE)];
  }

  // -- within -----------------------------------------------------------------------------------

  /** @returns {Effect[]} */
  #open() {
    this.#trying = true;
    this.dueMs = Infinity;
    return [{ do: 'open', fresh: this.phase === 'connecting' }];
  }

  /**
   * @param {number} nowMs
   * @param {boolean} [first]  it has been lost just now
   * @returns {Effect[]}
   */
  #wait(nowMs, first = false) {
    if (first) [this.#tries, this.#lostMs] = [0, nowMs];
    this.#trying = false;
    const leftMs = this.#lostMs + this.#keepMs - nowMs;
    if (leftMs <= 0) return this.fail((this.phase === 'connecting' && this.#instead) || LOST);
    const waitMs = Math.min(FIRST_WAIT_MS * 2 ** this.#tries, LONGEST_WAIT_MS, leftMs);
    this.#tries += 1;
    this.dueMs = nowMs + waitMs;
    return [];
  }

  /**
   * @param {Ready} ready
   * @param {number} nowMs
   * @returns {Effect[]}
   */
  #ready(ready, nowMs) {
    /** @type {Effect[]} */
    const effects = [];
    if (!ready.resumed) {
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
    } else if (this.#instead) {
      effects.push({ do: 'notice', text: 'Connected again. A new conversation has begun.' });
    }
    // The server waits for it before it sends more, and the ring may have run dry meanwhile.
    if (this.#report) effects.push({ do: 'send', frame: played(this.#report) });
    for (const frame of this.#voice.splice(0)) effects.push({ do: 'send', frame });

    this.phase = 'talking';
    this.#trying = false;
    this.#silentMs = SIGNS_MISSED * 1000 * (ready.alive_s ?? Infinity);
    this.dueMs = nowMs + this.#silentMs;
    this.#resume = ready.resume;
    this.#keepMs = ready.keep_s * 1000;
    this.#inputHz = ready.input.rate_hz;
    return effects;
  }

  /**
   * @param {Numbered} message
   * @returns {Effect[]}
   */
  #obey(message) {
    if (message.seq <= this.#seen) return [];
    this.#seen = message.seq;
    if (message.type === 'notice') return [{ do: 'notice', text: message.text }];
    if (message.type !== 'flush') return [{ do: 'deliver', message }];
    // One that is told again after `ready` has named a later epoch is over.
    if (!isLater(message.epoch, this.#epoch)) return [];
    this.#epoch = message.epoch;
    this.#report = null;
    return [{ do: 'flush', epoch: message.epoch }, { do: 'deliver', message }];
  }

  /**
   * @param {Answer} answer
   * @returns {Effect[]}
   */
  #hear(answer) {
    this.#received = { turn: answer.turn, samples: answer.start + answer.samples.length };
    return answer.epoch === this.#epoch ? [{ do: 'play', answer }] : [];
  }

  /** @param {ArrayBuffer} frame */
  #keep(frame) {
    this.#voice.push(frame);
    while (this.#voice.length * frame.byteLength > this.#bytes(VOICE_KEPT_S)) {
      this.#voice.shift();
      this.droppedFrames += 1;
    }
  }

  /** @param {number} seconds  of the user's sound */
  #bytes(seconds) {
    return seconds * this.#inputHz * BYTES_PER_SAMPLE;
  }
}

/** @param {string} reason */
function mistake(reason) {
  return new VoiceError({ code: 0, reason, again: false });
}
