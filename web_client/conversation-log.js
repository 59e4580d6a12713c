/**
 * The conversations of one client: the earlier ones, and the current one, which is stored while it
 * grows.
 */

/** @import { Archive, ConversationRecord } from './archive.js' */
/** @import { Turn } from './conversation.js' */

/** Time from a change of the turns until they are stored, in milliseconds. */
const SAVE_MS = 1000;

/** All conversations of a client. */
export class ConversationLog {
  /** True if the next conversation may know the earlier ones. */
  sendsHistory = true;

  #archive;
  #server;
  #current;
  #beganMs = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #saving;

  /**
   * @param {Archive} archive
   * @param {string} server  the address of the server
   * @param {{ readonly voice: string, readonly turns: readonly Turn[] }} current  the owner of the
   *   current conversation
   */
  constructor(archive, server, current) {
    this.#archive = archive;
    this.#server = server;
    this.#current = current;
  }

  /** All conversations, the current one last. @returns {readonly ConversationRecord[]} */
  get all() {
    return [...this.#archive.earlier, this.#record()];
  }

  /** True if there was another conversation before the current one. */
  get hasEarlier() {
    return this.#archive.earlier.length > 0;
  }

  /** Keep the current conversation among the earlier ones. Call it before another one begins. */
  begin() {
    this.#archive.add(this.#record());
    // The time identifies the record, even if two begin in the same millisecond.
    this.#beganMs = Math.max(Date.now(), this.#beganMs + 1);
  }

  /** Store all conversations now. */
  save() {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    this.#archive.save(this.#record());
  }

  /** Store all conversations soon. */
  saveSoon() {
    this.#saving ??= setTimeout(() => this.save(), SAVE_MS);
  }

  /**
   * Remove all conversations but the current one.
   *
   * @param {boolean} isOver  whether the current one is over, and its words were removed, too
   */
  forget(isOver) {
    this.#archive.clear();
    if (isOver) this.#beganMs = 0;
    this.save();
  }

  /**
   * Return the words of earlier conversations, for the server to know them. A current one is over
   * when this is called.
   */
  history() {
    return this.sendsHistory ? this.#archive.history(this.#server, this.#record()) : [];
  }

  /** Return the archive for another client, which continues it. */
  handOver() {
    clearTimeout(this.#saving);
    this.#archive.add(this.#record());
    return this.#archive;
  }

  /** Return the current conversation. @returns {ConversationRecord} */
  #record() {
    const { voice, turns } = this.#current;
    return { beganMs: this.#beganMs, server: this.#server, voice, turns };
  }
}
