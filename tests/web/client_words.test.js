/** The words of a client, which nothing removes, and the reasons of its ends. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { READY, client, line, notices, reset, saved, talking } from './client_fakes.js';

/** @import { VoiceClient } from '../../web_client/voice-client.js' */
/** @import { Line } from './client_fakes.js' */

beforeEach(reset);

test('what was said stays, and goes along, when another conversation begins', async () => {
  const { talker, socket } = await talking();
  const told = notices(talker);
  socket.tell({ type: 'user_text', turn: 1, text: 'hello.', typed: false, seq: 2 });
  /** @type {CustomEvent[]} */
  const ends = [];
  talker.addEventListener('ended', (event) => ends.push(/** @type {CustomEvent} */ (event)));
  socket.onclose({ code: 4026, reason: '' });
  assert.match(ends[0]?.detail.reason, /Start a new one/);
  const connected = talker.reconnect();
  assert.deepEqual(saved(talker), ['You: hello.']);
  const second = await line();
  second.onopen();
  assert.deepEqual(JSON.parse(String(second.sent[0])).history, [{ role: 'user', text: 'hello.' }]);
  second.tell({ ...READY, history: 1 });
  assert.deepEqual(saved(talker), ['You: hello.']);
  second.tell({ type: 'user_text', turn: 1, text: 'again.', typed: true, seq: 1 });
  assert.deepEqual(saved(talker), ['You: hello.', 'You, typed: again.']);
  second.onclose({ code: 4030, reason: '' });
  await assert.rejects(connected, { code: 4030, hint: 'Try again in a minute.' });
  assert.deepEqual(told, ['A new conversation has begun. It knows the last words above.']);
});

/** @type {Record<string, (talker: VoiceClient, socket: Line) => void>} */
const ENDS = {
  'the goodbye': (talker) => talker.close(),
  'the end of the service': (_, socket) => socket.onclose({ code: 4031, reason: '' }),
  'the end of its time': (_, socket) => socket.onclose({ code: 4026, reason: '' }),
};

for (const [name, end] of Object.entries(ENDS)) {
  test(`after ${name} in the middle of an answer only what was heard is left of it`, async () => {
    const { talker, socket, loudspeaker } = await talking();
    const told = { type: 'assistant_text', turn: 1, stage: 'SPECULATIVE' };
    socket.tell({ ...told, block: 0, text: 'One two. ', starts_at: 0, seq: 2 });
    socket.tell({ ...told, block: 1, text: 'Three four.', starts_at: 24_000, seq: 3 });
    socket.tell({ type: 'turn_ended', turn: 1, samples: 48_000, seq: 4 });
    loudspeaker?.options.onPlayed({ epoch: 0, turn: 1, samples: 25_000, playing: true });
    let turnsTold = false;
    talker.addEventListener('turns', () => (turnsTold = true));
    end(talker, socket);
    assert.deepEqual(saved(talker), ['Assistant: One two. [cut off]']);
    assert.ok(turnsTold);
  });
}

test('after the content filter the words stay, but do not go along', async () => {
  const { talker, socket } = await talking();
  socket.tell({ type: 'user_text', turn: 1, text: 'hello.', typed: false, seq: 2 });
  socket.onclose({ code: 4034, reason: '' });
  talker.reconnect().catch(() => {});
  const second = await line();
  second.onopen();
  assert.equal(JSON.parse(String(second.sent[0])).history, undefined);
  assert.deepEqual(saved(talker), ['You: hello.']);
  talker.close();
});

test('another client continues the words of the one before', async () => {
  const { talker, socket } = await talking();
  socket.tell({ type: 'user_text', turn: 1, text: 'hello.', typed: false, seq: 2 });
  talker.close();
  assert.deepEqual(saved(client({ after: talker })), ['You: hello.']);
});

test('what was said is removed only when the user asks for it', async () => {
  const { talker, socket } = await talking();
  socket.tell({ type: 'user_text', turn: 1, text: 'hello.', typed: false, seq: 2 });
  talker.forget();
  assert.deepEqual(saved(talker), ['You: hello.'], 'the conversation goes on');
  talker.close();
  talker.forget();
  assert.deepEqual(talker.turns, []);
});

for (const [name, status, body, told] of /** @type {[string, number, string, RegExp][]} */ ([
  ['a proxy without upgrades', 200, 'ok', /a WebSocket cannot be opened/],
  ['a proxy without a server', 502, '<h1>Bad gateway</h1>', /the server behind it does not/],
  ['a server that stops', 503, 'stopping', /The server is stopping/],
])) {
  test(`${name} is told apart from a network that fails`, async () => {
    Object.assign(globalThis, { fetch: async () => new Response(body, { status }) });
    const connected = client().connect();
    const socket = await line();
    socket.onclose({ code: 1006, reason: '' });
    await assert.rejects(connected, (error) => told.test(String(error)));
  });
}

test('a server that nobody reaches is told as such', async () => {
  Object.assign(globalThis, { fetch: () => Promise.reject(new TypeError('Failed to fetch')) });
  const connected = client().connect();
  const socket = await line();
  socket.onclose({ code: 1006, reason: '' });
  await assert.rejects(connected, { message: 'The server cannot be reached.' });
});

test('the result of a tool that ends without a connection is sent when there is one', async () => {
  const { talker, socket } = await talking();
  const schema = { type: 'object' };
  const ready = { ...READY, page_tools: [{ name: 'show', description: '', schema }] };
  /** @type {(result: string) => void} */
  let finish = () => {};
  talker.tools = { show: () => new Promise((resolve) => (finish = resolve)) };
  socket.tell(ready);
  socket.tell({ type: 'page_tool', id: '1', name: 'show', arguments: {}, seq: 2 });
  socket.onclose({ code: 1006, reason: '' });
  finish('done');
  await new Promise(setImmediate);
  void talker.reconnect();
  const second = await line();
  second.onopen();
  second.tell({ ...ready, resumed: true });
  const sent = second.sent.map((frame) => JSON.parse(String(frame)));
  assert.deepEqual(sent.at(-1), { type: 'tool_result', id: '1', result: 'done' });
  talker.close();
});
