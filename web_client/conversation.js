/**
 * What is said in one conversation: messages go in, turns and what is going on come out. Pure.
 *
 * Messages overtake sound, so a turn is over not when the server says that all of it has been sent,
 * but when that much has played. For the same reason `end` cuts an answer that the end of the
 * conversation left unheard: its words came before its sound.
 */

/** Unhurried speech has 15 characters a second. Only for a block whose sound has not all come. */
const MS_PER_CHARACTER = 65;

/** @import { Position, ServerMessage, Stage } from './messages.js' */

/**
 * `startsAt`: samples of the turn before the sound of this block; missing where nobody told.
 *
 * @typedef {{ text: string, stage: Stage, startsAt?: number }} Part
 * @typedef {{ id: string, name: string, argumentsJson?: string, resultJson?: string,
 *   answered: boolean }} Tool
 */

/**
 * What the user said, or the answer to it; both have the number of the turn.
 *
 * `parts`: of the user one, of an answer one a block, which join without separators. `interrupted`:
 * it was cut; what was `heard` of it, and the tail that was `lost`, come a moment later. `responseMs`:
 * from the end of speech to the audible answer. `over`: nothing more of it will sound.
 *
 * @typedef {Readonly<{ number: number, who: 'user' | 'assistant', typed: boolean,
 *   parts: readonly Part[], tools: readonly Tool[], interrupted: boolean, heard: string,
 *   lost: string, responseMs: number | null, over: boolean }>} Turn
 */

/** @typedef {'connecting' | 'listening' | 'hearing' | 'thinking' | 'tool' | 'speaking'} Activity */

export class Conversation {
  /**
   * In order. Neither it nor a turn is ever changed: what changes is replaced.
   *
   * @type {readonly Turn[]}
   */
  turns = [];
  /** Of the last answer. @type {number | null} */
  responseMs = null;

  #listening = false;
  #hearing = false;
  #playing = false;
  /** An answer is due, and has not begun to sound. */
  #due = false;
  /** Calls that were not answered yet. */
  #calls = new Set();
  /** Samples of turns of which all has been sent. @type {Map<number, number>} */
  #ends = new Map();
  #came = /** @type {Position} */ ({ turn: 0, samples: 0 });
  #played = /** @type {Position} */ ({ turn: 0, samples: 0 });
  #outputHz = 24_000;

  /** What is going on. @returns {Activity} */
  get activity() {
    if (!this.#listening) return 'connecting';
    if (this.#playing) return 'speaking';
    if (this.#hearing) return 'hearing';
    if (this.#calls.size) return 'tool';
    return this.#due ? 'thinking' : 'listening';
  }

  /**
   * What the server says. What is of no meaning here is left aside.
   *
   * @param {ServerMessage} message
   */
  handle(message) {
    this.#follow(message);
    this.#write(message);
  }

  /**
   * Sound of an answer has come, up to here.
   *
   * @param {Position} position
   */
  audioReceived(position) {
    this.#came = position;
  }

  /**
   * Sound of an answer has left the loudspeaker, up to here, and more of it is `playing` or not.
   *
   * @param {Position & { playing: boolean }} report
   */
  played({ turn, samples, playing }) {
    if (playing && !this.#playing) this.#due = false;
    this.#playing = playing;
    this.#played = { turn, samples };
    this.#settle();
  }

  /**
   * The conversation is over: cut each answer that has not played to its end where playback is.
   */
  end() {
    this.#playing = false;
    for (const turn of this.turns) {
      const isUntold = turn.interrupted && !turn.heard && !turn.lost;
      if (turn.who === 'assistant' && (!turn.over || isUntold)) this.#cut(turn);
    }
  }

  /**
   * Who said what, as plain text: only what was heard, and what tools did.
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
   * What is going on.
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
   * What is said.
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

  /** Find the turns that are over: all their sound has played, or all that came. */
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
   * Cut an answer where playback is. Words are taken to be spread evenly over their block.
   *
   * @param {Turn} turn
   */
  #cut({ number, parts }) {
    if (this.#played.turn > number) {
      this.#amend(number, () => ({ over: true })); // what plays is in order: it was heard
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
   * Where the sound of the last block that was told ends, in samples of its turn.
   *
   * @param {number} turn
   * @param {number} startsAt
   * @param {string} text
   */
  #endOf(turn, startsAt, text) {
    const told = this.#ends.get(turn);
    if (told !== undefined) return told;
    const guess = startsAt + (text.length * MS_PER_CHARACTER * this.#outputHz) / 1000;
    return Math.max(guess, this.#came.turn === turn ? this.#came.samples : 0);
  }

  /**
   * Change an answer, or begin it.
   *
   * @param {number} number
   * @param {(turn: Turn) => Partial<Turn>} change
   */
  #answer(number, change) {
    this.#change(number, 'assistant', change);
  }

  /**
   * Change an answer, if it has begun.
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
   * @param {number} number
   * @param {Turn['who']} who
   * @param {(turn: Turn) => Partial<Turn>} change
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
 * @param {number} number
 * @param {Turn['who']} who
 * @returns {Turn}
 */
function begun(number, who) {
  const nothing = { parts: [], tools: [], heard: '', lost: '', responseMs: null };
  return { number, who, typed: false, interrupted: false, over: false, ...nothing };
}

/**
 * Whether the turn `number` of `who` comes before `other`: the user's is before its answer.
 *
 * @param {number} number
 * @param {Turn['who']} who
 * @param {Turn} other
 */
function comesBefore(number, who, other) {
  return number < other.number || (number === other.number && who === 'user');
}

/**
 * @param {Position} place
 * @param {Position} at
 */
function isReached(place, at) {
  return at.turn > place.turn || (at.turn === place.turn && at.samples >= place.samples);
}

/**
 * How much of `text` is its words whose middle is before the character `reached`.
 *
 * @param {string} text
 * @param {number} reached
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

/** @param {Tool} tool */
function toolLine({ name, argumentsJson, resultJson, answered }) {
  const asked = argumentsJson === undefined ? '' : ` ${argumentsJson}`;
  const result = resultJson === undefined ? '' : `: ${resultJson}`;
  return `Tool ${name}${asked}${answered ? ` answered${result}` : ' did not answer'}`;
}
