/** The client around the link: devices that fail, sound that is not wanted, a network that dies. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { beforeEach, test } from 'node:test';

import { SoundError, UNREACHED } from '../../web_client/audio/sound-error.js';
import { READY, Device, Line, Refused, client, line, microphones } from './client_fakes.js';
import { net, notices, reset, spoken, talking } from './client_fakes.js';

beforeEach(reset);

test('a client connects, and tells the states it goes through', async () => {
  const talker = client({ token: 'token' });
  /** @type {string[]} */
  const states = [];
  talker.addEventListener('state', () => states.push(talker.state));
  const connected = talker.connect();
  const socket = await line();
  assert.equal(socket.url, 'wss://voice.example/talk');
  assert.deepEqual(socket.protocols, ['sonic-voice.v1']);
  assert.equal(socket.binaryType, 'arraybuffer');
  socket.onopen();
  assert.equal(JSON.parse(String(socket.sent[0])).token, 'token');
  socket.tell(READY);
  assert.deepEqual([talker.state, talker.voice, talker.typing], ['connecting', 'tiffany', true]);
  socket.tell({ type: 'listening', seq: 1 });
  await connected;
  talker.close();
  assert.deepEqual(states, ['connecting', 'listening', 'ended']);
  assert.deepEqual(Device.open, []);
  assert.ok(socket.isClosed);
});

test('an address is fetched for each connection, and once more if that fails', async () => {
  let fetched = 0;
  const fetchAddress = async () => {
    fetched += 1;
    if (fetched === 2) throw new TypeError('Failed to fetch');
    return { url: `https://runtimes.example/ws?signature=${fetched}`, protocols: [] };
  };
  const { talker, socket } = await talking({ fetchAddress });
  const texts = notices(talker);
  assert.equal(socket.url, 'wss://runtimes.example/ws?signature=1');
  assert.deepEqual(socket.protocols, []);
  socket.onclose({ code: 1006, reason: '' });
  talker.reconnect();
  assert.equal(await line(), socket, 'there is no address to connect to');
  assert.equal(talker.state, 'reconnecting');
  talker.reconnect();
  const next = await line();
  assert.equal(next.url, 'wss://runtimes.example/ws?signature=3');
  next.onopen();
  assert.equal(JSON.parse(String(next.sent[0])).resume, 'word');
  next.tell({ ...READY, resumed: true });
  assert.equal(talker.state, 'listening');
  assert.equal(texts.length, 2, 'the connection was lost, and is there again');
  talker.close();
});

test('a conversation does not begin without an address', async () => {
  const talker = client({ fetchAddress: () => Promise.reject(new TypeError('Failed to fetch')) });
  await assert.rejects(talker.connect(), /^VoiceError: The address of the server could not/);
  assert.deepEqual([talker.state, Device.open], ['ended', []]);
});

test('while the server connects to the voice service again, the user is still heard', async () => {
  const { talker, socket, microphone } = await talking();
  const texts = notices(talker);
  socket.tell({ type: 'reconnecting', attempt: 1, retry_in_s: 0, seq: 2 });
  assert.equal(talker.state, 'recovering');
  microphone?.options.onSamples(new Int16Array(320).fill(7));
  assert.equal(spoken(socket)[0], 7);
  talker.sendText('Are you there?');
  assert.equal(JSON.parse(String(socket.sent.at(-1))).text, 'Are you there?');
  socket.tell({ type: 'renewed', gap_ms: 1200, replayed_ms: 300, seq: 3 });
  assert.equal(talker.state, 'listening');
  assert.equal(texts.length, 2);
  talker.close();
});

test('without a microphone one can type and listen, and a microphone may follow', async () => {
  microphones.open = () => Promise.reject(new Refused('The microphone is not allowed.'));
  const talker = client();
  const told = notices(talker);
  const connected = talker.connect();
  const socket = await line();
  socket.onopen();
  socket.tell(READY);
  socket.tell({ type: 'listening', seq: 1 });
  await connected;
  assert.deepEqual([talker.state, talker.soundState.input], ['listening', 'missing']);
  assert.match(String(told), /^The microphone is not allowed. Allow it. Until then you can type/);
  talker.sendText('Hello.');
  assert.deepEqual(JSON.parse(String(socket.sent.at(-1))), { type: 'say', text: 'Hello.' });
  await assert.rejects(talker.useDevices({ input: '' }), { hint: 'Allow it.' });
  microphones.open = async (options) => new Device(options);
  await talker.useDevices({ input: '' });
  assert.equal(talker.soundState.input, 'open');
  assert.equal(told[1], 'The microphone is there now.');
  talker.close();
});

test('a model that takes no typed turns is of no use without a microphone', async () => {
  microphones.open = () => Promise.reject(new Refused('The microphone is not allowed.'));
  const talker = client();
  const connected = talker.connect();
  const socket = await line();
  socket.onopen();
  socket.tell({ ...READY, typing: false });
  const told = { name: 'VoiceError', message: 'The microphone is not allowed.', hint: 'Allow it.' };
  await assert.rejects(connected, told);
  assert.equal(talker.state, 'ended');
  assert.deepEqual(Device.open, []);
});

test('who leaves before the microphone is allowed leaves nothing open', async () => {
  /** @type {(device: Device) => void} */
  let allow = () => {};
  microphones.open = () => new Promise((resolve) => (allow = resolve));
  const talker = client();
  const connected = talker.connect();
  await new Promise(setImmediate);
  talker.close();
  await assert.rejects(connected, { code: 1000 });
  allow(new Device({}));
  await new Promise(setImmediate);
  assert.deepEqual([Device.open, Line.all], [[], []]);
});

test('a token that the application does not give is told in words', async () => {
  const fetchToken = () => Promise.reject(new TypeError('Failed to fetch'));
  await assert.rejects(client({ fetchToken }).connect(), { code: 0, hint: /Sign in/ });
  assert.deepEqual(Line.all, []);
});

test('muted, and by push to talk, silence is sent', async () => {
  const { talker, socket, microphone } = await talking();
  const speak = () => {
    microphone?.options.onSamples(new Int16Array(320).fill(7));
    return spoken(socket)[0];
  };
  assert.equal(speak(), 7);
  talker.muted = true;
  assert.equal(speak(), 0);
  [talker.muted, talker.pushToTalk] = [false, true];
  assert.equal(speak(), 0);
  talker.talking = true;
  assert.equal(speak(), 7);
  assert.equal(spoken(socket).length, 320);
  talker.close();
});

test('a network with no room for the voice drops it, and says how much', async () => {
  const { talker, socket, microphone } = await talking();
  socket.bufferedAmount = 20_000;
  const before = socket.sent.length;
  microphone?.options.onSamples(new Int16Array(320));
  assert.equal(socket.sent.length, before);
  assert.equal(talker.droppedFrames, 1);
  talker.close();
});

test('a flush reaches the loudspeaker first, and where it cut the server', async () => {
  const { talker, socket, loudspeaker } = await talking();
  talker.addEventListener('state', () => loudspeaker?.did.push(talker.state));
  socket.tell({ type: 'user_speech_started', offset_ms: 0, seq: 2 });
  socket.tell({ type: 'flush', epoch: 1, seq: 3 });
  assert.deepEqual(loudspeaker?.did, ['flush 0', 'hearing', 'flush 1']);
  const report = { type: 'played', epoch: 1, turn: 0, samples: 0 };
  assert.deepEqual(JSON.parse(String(socket.sent.at(-1))), report);
  talker.close();
});

test('a microphone that vanishes is replaced by the default one', async () => {
  const { talker, microphone } = await talking();
  const told = notices(talker);
  microphone?.onended?.();
  await new Promise(setImmediate);
  assert.deepEqual(told, ['The microphone is gone. The default one is used now.']);
  assert.equal(Device.open.length, 2);
  assert.notEqual(talker.microphone, microphone);
  talker.close();
});

test('without any microphone the conversation goes on', async () => {
  const { talker, microphone, socket } = await talking();
  const told = notices(talker);
  microphones.open = () => Promise.reject(new Refused('There is no microphone.'));
  microphone?.onended?.();
  await new Promise(setImmediate);
  assert.deepEqual(told, ['The microphone is gone. There is no microphone. Allow it.']);
  assert.equal(talker.microphone, null);
  talker.sendText('Hello.');
  assert.deepEqual(JSON.parse(String(socket.sent.at(-1))), { type: 'say', text: 'Hello.' });
  talker.close();
});

test('a server of other rates has the devices opened in them', async () => {
  const rates = { input: { rate_hz: 8000 }, output: { rate_hz: 16_000 } };
  const { talker } = await talking({}, { ...READY, ...rates });
  await new Promise(setImmediate);
  assert.deepEqual(
    Device.open.map((device) => device.options.rateHz),
    [8000, 16_000],
  );
  talker.close();
});

test('a browser that is offline is believed, and resumes as it is back', async () => {
  const { talker, socket, loudspeaker } = await talking();
  const late = socket.onclose;
  const told = notices(talker);
  net.dispatchEvent(new Event('offline'));
  assert.equal(talker.state, 'reconnecting');
  assert.ok(socket.isClosed);
  assert.equal(Device.open.length, 2, 'what is in the ring sounds on');
  net.dispatchEvent(new Event('online'));
  const second = await line();
  assert.notEqual(second, socket);
  assert.notEqual(socket.onclose, late, 'nobody hears what becomes of the old one');
  second.onopen();
  assert.equal(JSON.parse(String(second.sent[0])).resume, 'word');
  second.tell({ ...READY, resumed: true });
  assert.equal(talker.state, 'listening');
  assert.equal(told.length, 2);
  assert.equal(talker.loudspeaker, loudspeaker);
  talker.close();
  assert.deepEqual(getEventListeners(net, 'offline'), []);
});

test('a network that dies without a word is noticed, and nothing is told twice', async () => {
  const { talker, socket } = await talking({}, { ...READY, alive_s: 0.01 });
  const lost = new Promise((resolve) => talker.addEventListener('notice', resolve, { once: true }));
  socket.tell({ type: 'alive' });
  assert.equal(talker.state, 'listening');
  const { detail } = /** @type {CustomEvent} */ (await lost);
  assert.equal(detail.text, 'The connection was lost. Trying again.');
  assert.ok(socket.isClosed);
  void talker.reconnect();
  const second = await line();
  second.onopen();
  assert.equal(JSON.parse(String(second.sent[0])).seen, 1);
  talker.close();
});

test('a conversation that begins by itself has a loudspeaker that knows no other', async () => {
  const { talker, socket, loudspeaker } = await talking();
  socket.onclose({ code: 1001, reason: '' });
  assert.equal(talker.state, 'connecting');
  await talker.reconnect();
  const second = await line();
  assert.notEqual(second, socket);
  assert.ok(talker.loudspeaker);
  assert.notEqual(talker.loudspeaker, loudspeaker);
  assert.equal(Device.open.length, 2);
  talker.close();
});

test('a server that restarts is waited for, though the sound needs files of it', async () => {
  const { talker, socket } = await talking();
  microphones.open = () => Promise.reject(new SoundError(UNREACHED, 'The server is away.', ''));
  socket.onclose({ code: 1001, reason: '' });
  await talker.reconnect(); // the first attempt, without the wait
  await line();
  assert.equal(talker.state, 'connecting');
  microphones.open = async (options) => new Device(options);
  await talker.reconnect();
  assert.notEqual(await line(), socket);
  talker.close();
});
