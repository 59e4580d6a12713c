/**
 * The state of one conversation: its turns and its current activity, derived from messages. Pure.
 *
 * Messages overtake sound. A turn is therefore not over when the server says that all of it has
 * been sent, but when that much has been played. For the same reason `end` cuts an answer that the
 * end of the conversation left unheard: its text came before its sound.
 */

import { cutAt, heardLength } from './heard-words.js';
import { withPicture } from './pictures.js';

/**
 * Duration of a character of speech, in milliseconds: calm speech has 15 characters a second. Used
 * only for a block whose sound has not been received completely.
 */
const MS_PER_CHARACTER = 65;

/** @import { Position, ServerMessage, Stage } from './messages.js' */

/**
 * `Part`: one block of a turn. `startsAt`: samples of the turn before the sound of this block;
 * missing if the server did not say.
 *
 * `Tool`: `progress` has the newest words of a running tool for the user; `held`: its result is
 * there, and waits until neither side speaks.
 *
 * `ShownPicture`: `alt` says what it shows. `blob` is missing until it has arrived, and of pictures
 * that are no longer kept.
 *
 * @typedef {{ text: string, stage: Stage, startsAt?: number }} Part
 * @typedef {{ id: string, name: string, argumentsJson?: string, resultJson?: string,
 *   progress?: string, held?: boolean, answered: boolean }} Tool
 * @typedef {{ id: number, alt: string, blob?: Blob }} ShownPicture
 */

/**
 * A turn of the user, or the answer to it, which has the same number.
 *
 * - `atMs`: the time at which it began, in milliseconds since 1970
 * - `parts`: one part for the user; one part for each block of an answer, joined by `wholeText`
 * - `pictures`: the pictures that tools have shown, if there are any
 * - `heardLength`: the characters of an answer that were heard so far; it grows word by word
 * - `interrupted`: the answer was cut. The text that was `heard`, and the rest that was `lost`,
 *   follow a moment later
 * - `responseMs`: time from the end of the user's speech to the first audible sample, in ms
 * - `over`: no more of it will be played
 *
 * @typedef {Readonly<{ number: number, who: 'user' | 'assistant', typed: boolean, atMs: number,
 *   parts: readonly Part[], tools: readonly Tool[],
 *   pictures?: readonly ShownPicture[], heardLength: number, interrupted: boolean,
 *   heard: string, lost: string, responseMs: number | null, over: boolean }>} Turn
 */

/**
 * `recovering`: the server connects to the voice service again. What the user says meanwhile is
 * kept there.
 *
 * @typedef {'connecting' | 'listening' | 'hearing' | 'thinking' | 'tool' | 'speaking'
 *   | 'recovering'} Activity
 */

/** The turns and the activity of one conversation. */
export class Conversation {
  /**
   * The turns in order. Neither the array nor a turn is ever modified; both are replaced.
   *
   * @type {readonly Turn[]}
   */
  turns = [];
  /** Response latency of the last answer, in milliseconds. @type {number | null} */
  responseMs = null;

  #listening = false;
  #recovering = false;
  #hearing = false;
  #playing = false;
  /** An answer is expected, and is not playing yet. */
  #due = false;
  /** Ids of tool calls that were not answered yet. */
  #calls = new Set();
  /** Lengths in samples of turns that were sent completely, by turn. @type {Map<number, number>} */
  #ends = new Map();
  #came = /** @type {Position} */ ({ turn: 0, samples: 0 });
  #played = /** @type {Position} */ ({ turn: 0, samples: 0 });
  #outputHz = 24_000;
  /** Time of the newest message. */
  #nowMs = 0;

  /** The current activity. @returns {Activity} */
  get activity() {
    if (!this.#listening) return 'connecting';
    if (this.#playing) return 'speaking';
    if (this.#recovering) return 'recovering';
    if (this.#hearing) return 'hearing';
    if (this.#calls.size) return 'tool';
    return this.#due ? 'thinking' : 'listening';
  }

  /**
   * Handle a message of the server. Messages that do not concern turns or activity are ignored.
   *
   * @param {ServerMessage} message
   * @param {number} nowMs  the time of day, in milliseconds since 1970
   */
  handle(message, nowMs) {
    this.#nowMs = nowMs;
    this.#follow(message);
    this.#write(message);
    this.#writeTool(message);
  }

  /**
   * Record that sound of an answer was received.
   *
   * @param {Position} position  the end of that sound
   */
  audioReceived(position) {
    this.#came = position;
  }

  /**
   * Record that sound of an answer was played.
   *
   * @param {Position & { playing: boolean }} report  the position that was played up to, and
   *   whether more is playing
   */
  played({ turn, samples, playing }) {
    if (playing && !this.#playing) this.#due = false;
    this.#playing = playing;
    if (turn > this.#played.turn) this.#finishBefore(turn);
    this.#played = { turn, samples };
    this.#light(turn);
    this.#settle();
  }

  /** End the conversation: cut each answer that was not played completely, where playback is. */
  end() {
    this.#playing = false;
    for (const turn of this.turns) {
      const isUntold = turn.interrupted && !turn.heard && !turn.lost;
      if (turn.who === 'assistant' && (!turn.over || isUntold)) this.#cut(turn);
    }
  }

  /**
   * Update the activity.
   *
   * @param {ServerMessage} message
   */
  #follow(message) {
    switch (message.type) {
      case 'ready':
        this.#outputHz = message.output.rate_hz;
        break;
      case 'listening':
        this.#listening = true;
        this.#recovering = false;
        break;
      case 'reconnecting':
        this.#recovering = true;
        // The next stream hears what was being said from its beginning, and reports it anew.
        this.#hearing = false;
        break;
      case 'renewed':
        this.#recovering = false;
        break;
      case 'user_speech_started':
        this.#hearing = true;
        this.#due = false;
        break;
      case 'user_speech_ended':
        this.#hearing = false;
        this.#due = true;
        break;
      case 'user_text':
        this.#due = true;
        break;
      case 'tool_call':
        this.#calls.add(message.tool_use);
        break;
      case 'tool_answered':
        this.#calls.delete(message.tool_use);
        this.#due = true;
        break;
      case 'flush':
        this.#due = false;
        break;
      case 'turn_ended':
        this.#ends.set(message.turn, message.samples);
        this.#settle();
        break;
    }
  }

  /**
   * Update the words of the turns.
   *
   * @param {ServerMessage} message
   */
  #write(message) {
    switch (message.type) {
      case 'user_text': {
        const { text, typed } = message;
        this.#change(message.turn, 'user', ({ parts: [said] }) => ({
          parts: [{ text: said ? `${said.text} ${text}` : text, stage: 'FINAL' }],
          typed,
          over: true,
        }));
        break;
      }
      case 'assistant_text': {
        const { block, text, stage } = message;
        this.#answer(message.turn, ({ parts }) => {
          const grown = [...parts];
          while (grown.length < block) grown.push({ text: '', stage });
          const startsAt = message.starts_at ?? grown[block]?.startsAt;
          grown[block] = startsAt === undefined ? { text, stage } : { text, stage, startsAt };
          return { parts: grown };
        });
        break;
      }
      case 'interrupted':
        this.#amend(message.turn, () => ({ interrupted: true, over: true }));
        break;
      case 'heard': {
        const { heard, planned } = message;
        const lost = planned.startsWith(heard) ? planned.slice(heard.length) : '';
        this.#amend(message.turn, ({ interrupted }) => ({
          interrupted: interrupted || lost.trim() !== '',
          heard,
          lost,
          over: true,
        }));
        break;
      }
      case 'latency':
        this.responseMs = message.response_ms;
        this.#amend(message.turn, () => ({ responseMs: message.response_ms }));
        break;
    }
  }

  /**
   * Update the tools of the turns, and what they show.
   *
   * @param {ServerMessage} message
   */
  #writeTool(message) {
    switch (message.type) {
      case 'tool_call': {
        const { tool_use: id, name, arguments_json: argumentsJson } = message;
        const asked = argumentsJson === undefined ? {} : { argumentsJson };
        this.#answer(message.turn, ({ tools }) => ({
          tools: [...tools, { id, name, ...asked, answered: false }],
        }));
        break;
      }
      case 'tool_progress':
        this.#changeTool(message.turn, message.tool_use, { progress: message.text });
        break;
      case 'tool_held':
        this.#changeTool(message.turn, message.tool_use, { held: true });
        break;
      case 'tool_answered': {
        const { tool_use: id, result_json: resultJson } = message;
        const result = resultJson === undefined ? {} : { resultJson };
        this.#changeTool(message.turn, id, { ...result, answered: true });
        break;
      }
      case 'picture': {
        const picture = { id: message.seq, alt: message.alt };
        this.#answer(message.turn, ({ pictures = [] }) => ({ pictures: [...pictures, picture] }));
        break;
      }
      case 'picture_arrived':
        this.turns = withPicture(this.turns, message);
        break;
    }
  }

  /** Mark the turns as over whose sound was played: all of it, or all that was received. */
  #settle() {
    for (const [turn, samples] of this.#ends) {
      const end = { turn, samples };
      const ranOut = !this.#playing && this.#played.turn >= turn && isReached(end, this.#came);
      if (samples === 0 || ranOut || isReached(end, this.#played)) {
        this.#ends.delete(turn);
        this.#due = false;
        this.#amend(turn, () => ({ over: true }));
      }
    }
  }

  /**
   * Mark the answers before a turn that is playing as over. Turns are played in order.
   *
   * @param {number} turn
   */
  #finishBefore(turn) {
    for (const { number, over } of this.turns) {
      if (number < turn && !over) this.#amend(number, () => ({ over: true }));
    }
  }

  /** Note which words of an answer were heard. Their number only grows. @param {number} number */
  #light(number) {
    const turn = this.turns.find((one) => one.number === number && one.who === 'assistant');
    if (!turn || turn.over) return;
    const length = this.#heardLength(turn);
    if (length > turn.heardLength) this.#amend(number, () => ({ heardLength: length }));
  }

  /**
   * Cut an answer where playback is.
   *
   * @param {Turn} turn
   */
  #cut(turn) {
    // Turns are played in order: if a later one is playing, this one was heard.
    const wasHeard = this.#played.turn > turn.number;
    const change = wasHeard ? { over: true } : cutAt(turn, this.#heardLength(turn));
    this.#amend(turn.number, () => change);
  }

  /** Return the number of characters of an answer that were heard. @param {Turn} turn */
  #heardLength({ number, parts, heardLength: before }) {
    const played = this.#played.turn === number ? this.#played.samples : 0;
    const endOfLast = (/** @type {number} */ startsAt, /** @type {string} */ text) =>
      this.#endOf(number, startsAt, text);
    return Math.max(before, heardLength(parts, played, endOfLast));
  }

  /**
   * Return or estimate where the sound of a turn's last known block ends, in samples of the turn.
   *
   * @param {number} turn
   * @param {number} startsAt  where the sound of the block begins
   * @param {string} text  the text of the block
   */
  #endOf(turn, startsAt, text) {
    const told = this.#ends.get(turn);
    if (told !== undefined) return told;
    const guess = startsAt + (text.length * MS_PER_CHARACTER * this.#outputHz) / 1000;
    return Math.max(guess, this.#came.turn === turn ? this.#came.samples : 0);
  }

  /**
   * Change a tool call of an answer.
   *
   * @param {number} number
   * @param {string} id  the id of the call
   * @param {Partial<Tool>} change
   */
  #changeTool(number, id, change) {
    const changed = (/** @type {Tool} */ tool) => (tool.id === id ? { ...tool, ...change } : tool);
    this.#answer(number, ({ tools }) => ({ tools: tools.map(changed) }));
  }

  /**
   * Change an answer, or add it.
   *
   * @param {number} number
   * @param {(turn: Turn) => Partial<Turn>} change
   */
  #answer(number, change) {
    this.#change(number, 'assistant', change);
  }

  /**
   * Change an answer, if there is one.
   *
   * @param {number} number
   * @param {(turn: Turn) => Partial<Turn>} change
   */
  #amend(number, change) {
    if (this.turns.some((turn) => turn.number === number && turn.who === 'assistant')) {
      this.#change(number, 'assistant', change);
    }
  }

  /**
   * Change a turn, or insert it in its place.
   *
   * @param {number} number
   * @param {Turn['who']} who
   * @param {(turn: Turn) => Partial<Turn>} change  returns the properties to replace
   */
  #change(number, who, change) {
    const turns = [...this.turns];
    let index = turns.findIndex((turn) => turn.number === number && turn.who === who);
    if (index < 0) {
      const later = turns.findIndex((turn) => comesBefore(number, who, turn));
      index = later < 0 ? turns.length : later;
      turns.splice(index, 0, begun(number, who, this.#nowMs));
    }
    const turn = /** @type {Turn} */ (turns[index]);
    turns[index] = { ...turn, ...change(turn) };
    this.turns = turns;
  }
}

/**
 * Return an empty turn.
 *
 * @param {number} number
 * @param {Turn['who']} who
 * @param {number} atMs
 * @returns {Turn}
 */
function begun(number, who, atMs) {
  const nothing = { parts: [], tools: [], heardLength: 0, heard: '', lost: '', responseMs: null };
  return { number, who, atMs, typed: false, interrupted: false, over: false, ...nothing };
}

/**
 * Return whether the turn `number` of `who` comes before `other`. A user's turn comes before its
 * answer.
 *
 * @param {number} number
 * @param {Turn['who']} who
 * @param {Turn} other
 */
function comesBefore(number, who, other) {
  return number < other.number || (number === other.number && who === 'user');
}

/**
 * Return whether `place` is reached at the position `at`.
 *
 * @param {Position} place
 * @param {Position} at
 */
function isReached(place, at) {
  return at.turn > place.turn || (at.turn === place.turn && at.samples >= place.samples);
}
