/** Words that survive: the archive of conversations, its bounds, and what is read back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Archive, MAX_CHARACTERS, readConversations } from '../../web_client/archive.js';

/** @typedef {import('../../web_client/conversation.js').Turn} Turn */
/** @typedef {import('../../web_client/archive.js').ConversationRecord} ConversationRecord */

/** A tab's storage. */
class Tab {
  /** @type {Map<string, string>} */
  items = new Map();
  isFull = false;

  /** @param {string} key */
  getItem(key) {
    return this.items.get(key) ?? null;
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  setItem(key, value) {
    if (this.isFull) throw new DOMException('full', 'QuotaExceededError');
    this.items.set(key, value);
  }

  /** @param {string} key */
  removeItem(key) {
    this.items.delete(key);
  }
}

/** @param {string} text @param {Partial<Turn>} [more] @returns {Turn} */
function turn(text, more) {
  const nothing = { tools: [], heardLength: 0, heard: '', lost: '', responseMs: null, atMs: 5 };
  const flags = { typed: false, interrupted: false, over: true };
  const parts = [{ text, stage: /** @type {const} */ ('FINAL') }];
  return { number: 1, who: 'user', parts, ...flags, ...nothing, ...more };
}

/** @param {number} beganMs @param {...Turn} turns @returns {ConversationRecord} */
function record(beganMs, ...turns) {
  return { beganMs, voice: 'tiffany', server: 'wss://one/talk', turns };
}

test('what was said is there after a reload, an unfinished answer as far as it was heard', () => {
  const tab = new Tab();
  const before = new Archive(tab, 'words');
  before.add(record(1, turn('hello.')));
  before.save(record(2, turn('One two three.', { who: 'assistant', over: false, heardLength: 7 })));
  const after = new Archive(tab, 'words');
  assert.deepEqual(
    after.earlier.map(({ beganMs }) => beganMs),
    [1, 2],
  );
  const [answer] = after.earlier[1]?.turns ?? [];
  assert.deepEqual([answer?.heard, answer?.lost], ['One two', ' three.']);
  assert.deepEqual(new Archive(tab, 'others').earlier, []);
});

test('a conversation in which nothing was said leaves nothing', () => {
  const archive = new Archive(null, '');
  archive.add(record(1));
  assert.deepEqual(archive.earlier, []);
});

test('a storage that is full costs the copy, and not the words', () => {
  const tab = new Tab();
  const archive = new Archive(tab, 'words');
  tab.isFull = true;
  archive.add(record(1, turn('hello.')));
  archive.save(record(2, turn('again.')));
  assert.equal(archive.earlier.length, 1);
});

test('the oldest words are dropped beyond the bound, and the newest are kept', () => {
  const tab = new Tab();
  const archive = new Archive(tab, 'words');
  const long = turn('x'.repeat(MAX_CHARACTERS / 4));
  for (let began = 1; began < 9; began += 1) archive.add(record(began, long));
  assert.deepEqual(
    archive.earlier.map(({ beganMs }) => beganMs),
    [6, 7, 8],
  );
  archive.save(record(9, ...Array(20).fill(long), turn('the last')));
  const stored = tab.items.get('words') ?? '';
  assert.ok(stored.length <= MAX_CHARACTERS);
  assert.equal(readConversations(stored)[0]?.turns.at(-1)?.parts[0]?.text, 'the last');
});

test('what is stored by others is not taken for a conversation', () => {
  const good = record(1, turn('hello.'));
  const others = [{ ...good, turns: [{}] }, { ...good, voice: 1 }, { ...good, turns: {} }];
  const bad = [null, 7, {}, ...others];
  const stored = { version: 1, conversations: [...bad, good] };
  assert.deepEqual(readConversations(JSON.stringify(stored)), [good]);
  for (const text of ['', 'null', '[]', '{', '{"version":2,"conversations":[]}', '"words"']) {
    assert.deepEqual(readConversations(text), [], text);
  }
});

test('the history has what was heard, of the same server only', () => {
  const archive = new Archive(null, '');
  const answer = { who: /** @type {const} */ ('assistant'), interrupted: true };
  const other = { ...record(1, turn('secret')), server: 'wss://other/talk' };
  archive.add(other);
  archive.add(record(2, turn('hello.'), turn('', { ...answer, heard: 'One', lost: ' two.' })));
  assert.deepEqual(archive.history('wss://one/talk', record(3, turn('again.'))), [
    { role: 'user', text: 'hello.' },
    { role: 'assistant', text: 'One' },
    { role: 'user', text: 'again.' },
  ]);
});

test('the words are removed everywhere when the user asks for it', () => {
  const tab = new Tab();
  const archive = new Archive(tab, 'words');
  archive.save(record(1, turn('hello.')));
  archive.clear();
  assert.deepEqual([archive.earlier, tab.items.size], [[], 0]);
});
