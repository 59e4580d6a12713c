/** The text frames, by the examples that the server's tests read too. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as messages from '../../web_client/messages.js';

const fixture = new URL('../../web_client/protocol.json', import.meta.url);
const examples = JSON.parse(readFileSync(fixture, 'utf8'));

test('the examples are of this version', () => {
  assert.equal(examples.version, messages.VERSION);
  assert.equal(examples.subprotocol, messages.SUBPROTOCOL);
});

test('the page speaks as the examples do', () => {
  const [first, again, played] = examples.from_page;
  const said = [
    messages.hello(first),
    messages.helloAgain(again.resume, again.seen, again.received),
    messages.played(played),
    messages.say('Hello.'),
    messages.INTERRUPT,
    messages.toolResult('1', { result: { shown: true } }),
    messages.toolResult('2', { error: 'There is no such product.' }),
    messages.pictureReceived(19, 8),
    messages.BYE,
  ];
  assert.deepEqual(
    said.map((text) => JSON.parse(text ?? 'null')),
    examples.from_page,
  );
});

test('a wish that nobody has is not said', () => {
  const hello = messages.hello({ token: '', voice: '', language: '' });
  assert.deepEqual(JSON.parse(hello), { type: 'hello', version: 1 });
});

test('every message of the server is read', () => {
  for (const example of examples.from_server) {
    assert.deepEqual(messages.readMessage(JSON.stringify(example)), example);
  }
});

test('what the server refuses to read is none of its own messages', () => {
  const known = examples.from_server.map((/** @type {{ type: string }} */ { type }) => type);
  for (const { text } of examples.refused) {
    if (text === undefined) continue;
    const read = messages.readMessage(text);
    assert.ok(read === null || !known.includes(read.type), text);
  }
});

test('what is no object with a type cannot be read', () => {
  for (const text of ['', 'not JSON', 'null', '7', '"ready"', '[]', '{}', '{"type": 7}']) {
    assert.equal(messages.readMessage(text), null, text);
  }
});

test('what has played is told in whole samples, since the server takes no others', () => {
  const { samples } = JSON.parse(messages.played({ epoch: 1, turn: 2, samples: 7200.9 }));
  assert.equal(samples, 7200);
  assert.equal(JSON.parse(messages.played({ epoch: 1, turn: 2, samples: -3 })).samples, 0);
});

test('half a surrogate pair is not sent: it would end the conversation', () => {
  assert.equal(messages.say('a\ud800b'), '{"type":"say","text":"a\ufffdb"}');
});

test('a typed turn is as long as the server takes it', () => {
  assert.equal(messages.say(' \n'), null);
  assert.equal(messages.say('x'.repeat(2001)), null);
  assert.ok(messages.say('😀'.repeat(2000)), 'characters are counted, not their halves');
  assert.equal(messages.say('\u0001'.repeat(2000)), null, 'more than a frame takes, escaped');
});

test('of a long history the newest words are sent that fit into a frame', () => {
  const texts = Array.from({ length: 40 }, (_, index) => `${index} ${'"ü'.repeat(200)}`);
  const history = texts.map((text) => ({ role: /** @type {const} */ ('user'), text }));
  const options = { token: 'x'.repeat(4096), voice: 'tiffany', language: '' };
  const frame = messages.hello({ ...options, history });
  assert.ok(new TextEncoder().encode(frame).length <= 8 * 1024);
  const sent = JSON.parse(frame).history;
  assert.ok(sent.length > 2);
  assert.deepEqual(sent, history.slice(-sent.length));
});
