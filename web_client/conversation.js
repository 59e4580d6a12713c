/**
 * The state of one conversation: its turns and its current activity, derived from messages. Pure.
 *
 * Messages overtake sound. A turn is therefore not over when the server says that all of it has
 * been sent, but when that much has been played. For the same reason `end` cuts an answer that the
 * end of the conversation left unheard: its text came before its sound.
 */

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
 * @typedef {{ text: string, stage: Stage, startsAt?: number }} Part
 * @typedef {{ id: string, name: string, argumentsJson?: string, resultJson?: string,
 *   answered: boolean }} Tool
 */

/**
 * A turn of the user, or the answer to it, which has the same number.
 *
 * - `parts`: one part for the user; one part for each block of an answer, joined without separators
 * - `interrupted`: the answer was cut. The text that was `heard`, and the rest that was `lost`,
 *   follow a moment later
 * - `responseMs`: time from the end of the user's speech to the first audible sample, in ms
 * - `over`: no more of it will be played
 *
 * @typedef {Readonly<{ number: number, who: 'user' | 'assistant', typed: boolean,
 *   parts: readonly Part[], tools: readonly Tool[], interrupted: boolean, heard: string,
 *   lost: string, responseMs: number | null, over: boolean }>} Turn
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
   */
  handle(message) {
    this.#follow(message);
    this.#write(message);
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
    this.#played = { turn, samples };
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
   * Return the conversation as plain text: what was said and heard, and the calls of tools.
   *
   * @returns {string}
   */
  transcript() {
    return this.turns
      .flatMap(lines)
      .map((line) => `${line}\n`)
      .join('');
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
   * Update the turns.
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
      case 'tool_call': {
        const { tool_use: id, name, arguments_json: argumentsJson } = message;
        const asked = argumentsJson === undefined ? {} : { argumentsJson };
        this.#answer(message.turn, ({ tools }) => ({
          tools: [...tools, { id, name, ...asked, answered: false }],
        }));
        break;
      }
      case 'tool_answered': {
        const { tool_use: id, result_json: resultJson } = message;
        const result = resultJson === undefined ? {} : { resultJson };
        const answered = (/** @type {Tool} */ tool) =>
          tool.id === id ? { ...tool, ...result, answered: true } : tool;
        this.#answer(message.turn, ({ tools }) => ({ tools: tools.map(answered) }));
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
   * Cut an answer where playback is. Words are assumed to be spread evenly over their block.
   *
   * @param {Turn} turn
   */
  #cut({ number, parts }) {
    if (this.#played.turn > number) {
      // Turns are played in order: as a later one is playing, this one was heard.
      this.#amend(number, () => ({ over: true }));
      return;
    }
    const played = this.#played.turn === number ? this.#played.samples : 0;
    const said = parts.map(({ text }) => text).join('');
    let length = 0;
    let begin = 0;
    for (const [index, { text, startsAt = begin }] of parts.entries()) {
      const end = parts[index + 1]?.startsAt ?? this.#endOf(number, startsAt, text);
      begin = end;
      if (played < end || end <= startsAt) {
        length += wordsBefore(text, (text.length * (played - startsAt)) / (end - startsAt));
        break;
      }
      length += text.length;
    }
    const [heard, lost] = [said.slice(0, length), said.slice(length)];
    const interrupted = lost.trim() !== '';
    this.#amend(number, () => ({ interrupted, heard, lost, over: true }));
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
      turns.splice(index, 0, begun(number, who));
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
 * @returns {Turn}
 */
function begun(number, who) {
  const nothing = { parts: [], tools: [], heard: '', lost: '', responseMs: null };
  return { number, who, typed: false, interrupted: false, over: false, ...nothing };
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

/**
 * Return the length of the part of `text` that was heard: its words whose middle was reached.
 *
 * @param {string} text
 * @param {number} reached  the characters that were reached, which may be a fraction
 */
function wordsBefore(text, reached) {
  let end = 0;
  for (const { 0: word, index } of text.matchAll(/\S+/g)) {
    if (!(index + word.length / 2 <= reached)) break;
    end = index + word.length;
  }
  return end;
}

/**
 * Return the lines of a turn in the transcript.
 *
 * @param {Turn} turn
 * @returns {string[]}
 */
function lines(turn) {
  const said = turn.parts.map((part) => part.text).join('');
  const isCut = turn.interrupted && (turn.heard || turn.lost);
  const heard = turn.heard.trim();
  const text = isCut ? heard && `${heard}${turn.lost.trim() && ' [cut off]'}` : said.trim();
  const who = turn.who === 'assistant' ? 'Assistant' : turn.typed ? 'You, typed' : 'You';
  return [...turn.tools.map(toolLine), ...(text ? [`${who}: ${text}`] : [])];
}

/** Return the line of a tool call in the transcript. @param {Tool} tool */
function toolLine({ name, argumentsJson, resultJson, answered }) {
  const asked = argumentsJson === undefined ? '' : ` ${argumentsJson}`;
  const result = resultJson === undefined ? '' : `: ${resultJson}`;
  return `Tool ${name}${asked}${answered ? ` answered${result}` : ' did not answer'}`;
}
