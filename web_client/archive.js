/**
 * The transcripts of a page: earlier conversations, which nothing but the user removes.
 *
 * A page may have several conversations: the server was restarted, the network was cut, the voice
 * service failed, or the user has started again. The words of all of them are kept, also in the
 * tab's `sessionStorage`, so that they survive a reload. The tab's end removes them. The oldest are
 * dropped when there are more than `MAX_CHARACTERS`.
 */

import { heardText, withoutPlans } from './heard-words.js';
import { withoutPictures } from './pictures.js';

/** @import { Turn } from './conversation.js' */

/**
 * A conversation with its turns. `beganMs`: when it began, in milliseconds since 1970; it also
 * identifies the conversation. `server`: the address that it was held with.
 *
 * @typedef {Readonly<{ beganMs: number, voice: string, server: string,
 *   turns: readonly Turn[] }>} ConversationRecord
 */

/**
 * The methods of `sessionStorage` that are used.
 *
 * @typedef {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} TabStorage
 */

/** Version of the stored form. */
const VERSION = 1;

/**
 * Maximum size of what is kept, in characters of JSON. Browsers give a site five million characters
 * of `sessionStorage`, which it may need for itself. An hour of speech has about 200,000.
 */
export const MAX_CHARACTERS = 1_000_000;

/** Longest text of one message of the history, in characters, so that several fit into a hello. */
const HISTORY_CHARACTERS = 2000;

/** Number of turns that go along as history, at most; their size is limited where they are sent. */
const HISTORY_TURNS = 40;

/** The earlier conversations of a page. */
export class Archive {
  /**
   * The conversations, the oldest first. The array is replaced when it changes.
   *
   * @type {readonly ConversationRecord[]}
   */
  earlier = [];

  #storage;
  #key;
  /** The JSON of conversations. @type {WeakMap<ConversationRecord, string>} */
  #encoded = new WeakMap();

  /**
   * @param {TabStorage | null} storage  null keeps the words in memory only
   * @param {string} key
   */
  constructor(storage, key) {
    this.#storage = storage;
    this.#key = key;
    this.earlier = readConversations(this.#read());
  }

  /**
   * Append a conversation that is over, unless nothing was said in it.
   *
   * @param {ConversationRecord} record
   */
  add(record) {
    if (!record.turns.length) return;
    const kept = { ...record, turns: withoutPlans(record.turns) };
    // Pictures stay in the memory until the next conversation is over, their words longer.
    this.earlier = this.#bounded([...this.earlier.map(asStored), kept]);
  }

  /**
   * Store the earlier conversations and the current one. A storage that is full or closed costs the
   * copy, and not the conversation.
   *
   * @param {ConversationRecord} current
   */
  save(current) {
    if (!this.#storage) return;
    const all = current.turns.length ? [...this.earlier, current] : this.earlier;
    const records = this.#bounded(all);
    const body = records.map((record) => this.#encode(record)).join(',');
    try {
      this.#storage.setItem(this.#key, `{"version":${VERSION},"conversations":[${body}]}`);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
  }

  /** Remove all earlier conversations, here and in the storage. */
  clear() {
    this.earlier = [];
    try {
      this.#storage?.removeItem(this.#key);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
  }

  /**
   * Return the last words of the earlier conversations with a server, as they were heard, for the
   * history of the next conversation.
   *
   * @param {string} server
   * @param {ConversationRecord} last  the last conversation, which is over
   * @returns {{ role: 'user' | 'assistant', text: string }[]}  the oldest first
   */
  history(server, last) {
    return [...this.earlier, last]
      .filter((record) => record.server === server)
      .flatMap(({ turns }) => turns)
      .map((turn) => ({ role: turn.who, text: heardText(turn).heard.trim() }))
      .filter(({ text }) => text)
      .slice(-HISTORY_TURNS)
      .map(({ role, text }) => ({ role, text: [...text].slice(-HISTORY_CHARACTERS).join('') }));
  }

  /**
   * Drop the oldest of what exceeds the limit.
   *
   * @param {readonly ConversationRecord[]} records
   */
  #bounded(records) {
    const kept = [...records];
    let excess = kept.reduce((sum, one) => sum + this.#encode(one).length, -MAX_CHARACTERS);
    while (excess > 0 && kept.length > 1) {
      excess -= this.#encode(/** @type {ConversationRecord} */ (kept.shift())).length;
    }
    const [only] = kept;
    return excess > 0 && only ? [{ ...only, turns: newest(only.turns) }] : kept;
  }

  /**
   * Return a conversation as JSON.
   *
   * @param {ConversationRecord} record
   */
  #encode(record) {
    const known = this.#encoded.get(record);
    if (known !== undefined) return known;
    const json = JSON.stringify(asStored(record));
    this.#encoded.set(record, json);
    return json;
  }

  /** Return what is stored; '' if there is nothing, or the storage is closed. */
  #read() {
    try {
      return this.#storage?.getItem(this.#key) ?? '';
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      return '';
    }
  }
}

/**
 * Return the archive of a tab.
 *
 * @param {string} key  its name in `sessionStorage`; '' keeps the words in memory only
 */
export function openArchive(key) {
  return new Archive(key ? tabStorage() : null, key);
}

/** Return the storage of this tab; null where there is none, or the user has forbidden it. */
function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return null;
  }
}

/**
 * Return the conversations of a stored text. One of another form is left out: the storage belongs
 * to the whole site.
 *
 * @param {string} stored
 * @returns {ConversationRecord[]}
 */
export function readConversations(stored) {
  let value;
  try {
    value = JSON.parse(stored || 'null');
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return [];
  }
  if (value?.version !== VERSION || !Array.isArray(value.conversations)) return [];
  return value.conversations
    .filter(isConversation)
    .map((/** @type {ConversationRecord} */ record) =>
      asStored({ ...record, turns: withoutPlans(record.turns) }),
    );
}

/**
 * Return a conversation as it can be stored: without its pictures, and with the words for them.
 *
 * @param {ConversationRecord} record
 * @returns {ConversationRecord}
 */
function asStored(record) {
  const turns = record.turns.map((turn) => withoutPictures(turn));
  return turns.some((turn, index) => turn !== record.turns[index]) ? { ...record, turns } : record;
}

/** The types of a turn's members. @type {Record<string, string>} */
const MEMBERS = {
  ...{ number: 'number', who: 'string', typed: 'boolean', atMs: 'number', heardLength: 'number' },
  ...{ interrupted: 'boolean', heard: 'string', lost: 'string', over: 'boolean' },
};

/** Return whether a stored value is a conversation. @param {any} value */
function isConversation(value) {
  return (
    typeof value?.beganMs === 'number' &&
    typeof value.voice === 'string' &&
    typeof value.server === 'string' &&
    Array.isArray(value.turns) &&
    value.turns.every(isTurn)
  );
}

/** Return whether a stored value is a turn. @param {any} value */
function isTurn(value) {
  const { parts, tools, pictures = [], responseMs } = value ?? {};
  return (
    Object.entries(MEMBERS).every(([name, type]) => typeof value?.[name] === type) &&
    (responseMs === null || typeof responseMs === 'number') &&
    Array.isArray(parts) &&
    parts.every((part) => typeof part?.text === 'string') &&
    Array.isArray(tools) &&
    tools.every((tool) => typeof tool?.name === 'string') &&
    Array.isArray(pictures) &&
    pictures.every((picture) => typeof picture?.alt === 'string')
  );
}

/**
 * Return the newer turns of a conversation that alone exceeds the limit.
 *
 * @param {readonly Turn[]} turns
 */
function newest(turns) {
  let characters = 0;
  let begin = turns.length;
  while (begin > 0) {
    characters += JSON.stringify(turns[begin - 1]).length + 1;
    if (characters > MAX_CHARACTERS / 2) break;
    begin -= 1;
  }
  return turns.slice(begin);
}
