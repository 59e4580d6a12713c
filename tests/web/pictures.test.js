/** Pictures: how they arrive in pieces, and what stays of them where. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Archive, readConversations } from '../../web_client/archive.js';
import { Conversation } from '../../web_client/conversation.js';
import { Link } from '../../web_client/link.js';
import { IncomingPictures, MAX_PICTURE_BYTES, PICTURES_KEPT } from '../../web_client/pictures.js';
import { savedTranscript } from '../../web_client/saved-transcript.js';

/** @import { Picture, PictureData } from '../../web_client/messages.js' */

const fixture = new URL('../../web_client/protocol.json', import.meta.url);
const examples = JSON.parse(readFileSync(fixture, 'utf8')).from_server;
const ofType = (/** @type {string} */ type) =>
  examples.find((/** @type {{ type: string }} */ example) => example.type === type);
const ANNOUNCED = /** @type {Picture} */ (ofType('picture'));

/**
 * What is reported of a picture, and the picture if it is whole.
 *
 * @param {IncomingPictures} pictures
 * @param {PictureData} data
 */
function taken(pictures, data) {
  /** @type {{ received?: number, blob?: Blob }} */
  const found = {};
  for (const effect of pictures.take(data)) {
    if (effect.do === 'send') found.received = JSON.parse(String(effect.frame)).bytes;
    if (effect.do === 'deliver' && effect.message.type === 'picture_arrived') {
      found.blob = effect.message.blob;
      assert.equal(effect.message.turn, 2);
    }
  }
  return found;
}

/** @param {string} text @param {number} [start] */
function piece(text, start = 0) {
  return { type: /** @type {const} */ ('picture_data'), picture: 19, start, data: btoa(text) };
}

test('a picture of the examples is put together', async () => {
  const pictures = new IncomingPictures();
  pictures.expect(ANNOUNCED);
  const { received, blob } = taken(pictures, ofType('picture_data'));
  assert.deepEqual([received, blob?.type], [8, 'image/png']);
  const bytes = new Uint8Array((await blob?.arrayBuffer()) ?? []);
  assert.deepEqual([...bytes.slice(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
});

test('pieces that were repeated or lost change nothing, and are reported as what is there', () => {
  const pictures = new IncomingPictures();
  pictures.expect(ANNOUNCED);
  const take = (/** @type {string} */ text, /** @type {number} */ start) => {
    const { received, blob } = taken(pictures, piece(text, start));
    return [received, blob?.size];
  };
  assert.deepEqual(take('abc', 0), [3, undefined]);
  assert.deepEqual(take('abc', 0), [3, undefined]);
  assert.deepEqual(take('fgh', 5), [3, undefined]);
  assert.deepEqual(take('defghi', 3), [3, undefined], 'more than was announced');
  assert.deepEqual(take('defgh', 3), [8, 8]);
  assert.deepEqual(take('defgh', 3), [8, undefined], 'whole once');
  assert.deepEqual(pictures.take({ ...piece('a'), picture: 7 }), []);
  pictures.expect({ ...ANNOUNCED, seq: 20 });
  const wrong = { ...piece(''), picture: 20, data: 'no base64!' };
  assert.equal(taken(pictures, wrong).received, 0);
});

test('only pictures are expected, of a bounded size', () => {
  for (const wrong of [
    { media_type: 'image/svg+xml' },
    { media_type: 'text/html' },
    { bytes: MAX_PICTURE_BYTES + 1 },
    { bytes: 0 },
  ]) {
    const pictures = new IncomingPictures();
    pictures.expect({ ...ANNOUNCED, ...wrong });
    assert.deepEqual(pictures.take(piece('a')), [], JSON.stringify(wrong));
  }
});

test('a link puts pictures together, each for its own conversation', () => {
  const link = new Link();
  link.begin();
  const [ready, announced, data] = ['ready', 'picture', 'picture_data'].map(ofType);
  const receives = (/** @type {object} */ message) => link.received(JSON.stringify(message), 0);
  receives(ready);
  receives(announced);
  const [report, arrived] = receives(data);
  const frame = '{"type":"picture_received","picture":19,"bytes":8}';
  assert.deepEqual([report, arrived?.do], [{ do: 'send', frame }, 'deliver']);
  receives({ ...ready, resumed: true });
  assert.deepEqual(receives(data), [{ do: 'send', frame }], 'repeated after a lost connection');
  receives(ready);
  assert.deepEqual(receives(data), []);
});

/** @param {Conversation} conversation @param {Picture} announced @param {Blob} blob */
function arrives(conversation, { turn, seq: picture }, blob) {
  conversation.handle({ type: 'picture_arrived', turn, picture, blob }, 0);
}

/** A conversation in which `count` pictures were shown. @param {number} count */
function shown(count) {
  const conversation = new Conversation();
  for (let index = 0; index < count; index += 1) {
    const alt = `Boat ${index}`;
    const message = { ...ANNOUNCED, seq: index + 1, turn: index + 1, alt };
    conversation.handle(message, 0);
    arrives(conversation, message, new Blob(['boat']));
  }
  return conversation;
}

test('a picture stands at its turn, by its words until it is there', () => {
  const conversation = new Conversation();
  conversation.handle(ANNOUNCED, 0);
  assert.deepEqual(conversation.turns[0]?.pictures, [{ id: 19, alt: 'A red boat' }]);
  const before = conversation.turns;
  const blob = new Blob(['boat']);
  arrives(conversation, ANNOUNCED, blob);
  assert.notEqual(conversation.turns, before, 'turns are replaced');
  assert.deepEqual(conversation.turns[0]?.pictures, [{ id: 19, alt: 'A red boat', blob }]);
});

test('of the oldest pictures of a conversation only the words are kept', () => {
  const pictures = shown(PICTURES_KEPT + 2).turns.flatMap((turn) => turn.pictures ?? []);
  const there = pictures.map(({ blob }) => blob !== undefined);
  assert.deepEqual(there, [false, false, ...Array(PICTURES_KEPT).fill(true)]);
  assert.ok(pictures.every(({ alt }) => alt.startsWith('Boat')));
});

/** @param {number} beganMs */
function record(beganMs) {
  return { beganMs, voice: 'tiffany', server: 'wss://one/talk', turns: shown(1).turns };
}

test('words are stored, pictures are not; the last conversation keeps them in memory', () => {
  /** @type {Map<string, string>} */
  const stored = new Map();
  const storage = {
    getItem: (/** @type {string} */ key) => stored.get(key) ?? null,
    setItem: (/** @type {string} */ key, /** @type {string} */ value) => stored.set(key, value),
    removeItem: (/** @type {string} */ key) => stored.delete(key),
  };
  const archive = new Archive(storage, 'key');
  for (const beganMs of [1, 2]) archive.add(record(beganMs));
  const blobs = archive.earlier.map(({ turns }) => turns[0]?.pictures?.[0]?.blob);
  assert.equal(blobs[0], undefined);
  assert.ok(blobs[1]);
  archive.save(record(3));
  assert.ok(!stored.get('key')?.includes('blob'));
  const [read] = readConversations(stored.get('key') ?? '');
  assert.deepEqual(read?.turns[0]?.pictures, [{ id: 1, alt: 'Boat 0' }]);
});

test('what is stored as a picture is none until it was read as words', () => {
  const [turn] = shown(1).turns;
  const of = (/** @type {unknown} */ pictures) => {
    const conversations = [{ ...record(1), turns: [{ ...turn, pictures }] }];
    return readConversations(JSON.stringify({ version: 1, conversations }));
  };
  assert.deepEqual(of([{ id: 1, alt: 'Boat', blob: {} }])[0]?.turns[0]?.pictures, [
    { id: 1, alt: 'Boat' },
  ]);
  assert.deepEqual(of([{ id: 1 }]), []);
  assert.deepEqual(of('Boat'), []);
});

test('a saved transcript has the words for a picture', () => {
  const saved = [record(Date.UTC(2026, 2, 9))];
  assert.match(savedTranscript(saved, 'text'), /^\d\d:\d\d:\d\d Picture: Boat 0$/m);
  assert.match(savedTranscript(saved, 'markdown'), /\*Picture: Boat 0\*/);
  const [{ turns }] = JSON.parse(savedTranscript(saved, 'json')).conversations;
  assert.deepEqual(turns[0].pictures, [{ alt: 'Boat 0' }]);
});
