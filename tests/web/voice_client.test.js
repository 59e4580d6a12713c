/** The client around the link: devices that fail, sound that is not wanted, a network that dies. */

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { beforeEach, test } from 'node:test';

import { SoundError, UNREACHED } from '../../web_client/audio/sound-error.js';
import { VoiceClient } from '../../web_client/voice-client.js';

const READY = {
  type: 'ready',
  version: 1,
  resume: 'word',
  resumed: false,
  keep_s: 30,
  alive_s: 2,
  epoch: 0,
  voice: 'tiffany',
  typing: true,
  input: { rate_hz: 16_000 },
  output: { rate_hz: 24_000 },
};

/** A socket whose other end is the test. */
class Line {
  /** @type {Line[]} */
  static all = [];
  binaryType = '';
  bufferedAmount = 0;
  /** @type {(string | ArrayBuffer)[]} */
  sent = [];
  isClosed = false;
  onopen = () => {};
  /** @type {(event: { data: string | ArrayBuffer }) => void} */
  onmessage = () => {};
  /** @type {(event: { code: number, reason: string }) => void} */
  onclose = () => {};

  /** @param {URL} url */
  constructor(url) {
    this.url = url.href;
    Line.all.push(this);
  }

  /** @param {string | ArrayBuffer} frame */
  send(frame) {
    this.sent.push(frame);
  }

  close() {
    this.isClosed = true;
  }

  /** @param {object} message */
  tell(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }
}

/** What a device and a loudspeaker have, and what was done to them. */
class Device {
  /** @type {Device[]} */
  static open = [];
  /** @type {(() => void) | null} */
  onended = null;
  /** @type {string[]} */
  did = [];

  /** @param {any} options  of either */
  constructor(options) {
    this.options = options;
    Device.open.push(this);
  }

  level() {
    return 0;
  }

  wave() {}

  /** @param {{ turn: number }} answer */
  play({ turn }) {
    this.did.push(`play ${turn}`);
  }

  /** @param {number} epoch */
  flush(epoch) {
    this.did.push(`flush ${epoch}`);
    this.options.onPlayed({ epoch, turn: 0, samples: 0, playing: false });
  }

  async setDevice() {}

  async close() {
    Device.open = Device.open.filter((device) => device !== this);
  }
}

/** An error as those of the devices are. */
class Refused extends Error {
  hint = 'Allow it.';
}

/** @type {((options: object) => Promise<Device>)} */
let openMicrophone;
const sound = {
  Microphone: { open: (/** @type {object} */ options) => openMicrophone(options) },
  Loudspeaker: { open: async (/** @type {object} */ options) => new Device(options) },
};
const net = new EventTarget();
Object.assign(globalThis, { WebSocket: Line, window: net });

beforeEach(() => {
  Line.all = [];
  Device.open = [];
  openMicrophone = async (options) => new Device(options);
});

/** @param {object} [options] */
function client(options) {
  return new VoiceClient({ url: 'https://voice.example/talk', sound, ...options });
}

/** The newest socket, when what is promised so far has been done. */
async function line() {
  await new Promise(setImmediate);
  const newest = Line.all.at(-1);
  assert.ok(newest);
  return newest;
}

/** A client that talks. @param {object} [options] */
async function talking(options, ready = READY) {
  const talker = client(options);
  const connected = talker.connect();
  const socket = await line();
  socket.onopen();
  socket.tell(ready);
  socket.tell({ type: 'listening', seq: 1 });
  await connected;
  return { talker, socket, microphone: Device.open[0], loudspeaker: Device.open[1] };
}

/** @param {VoiceClient} talker */
function notices(talker) {
  /** @type {string[]} */
  const texts = [];
  talker.addEventListener('notice', (event) => {
    texts.push(/** @type {CustomEvent} */ (event).detail.text);
  });
  return texts;
}

/** The last frame of sound that was sent. @param {Line} socket */
function spoken(socket) {
  const frame = socket.sent.at(-1);
  assert.ok(frame instanceof ArrayBuffer);
  return new Int16Array(frame, 2);
}

test('a client connects, and tells the states it goes through', async () => {
  const talker = client({ token: 'token' });
  /** @type {string[]} */
  const states = [];
  talker.addEventListener('state', () => states.push(talker.state));
  const connected = talker.connect();
  const socket = await line();
  assert.equal(socket.url, 'wss://voice.example/talk');
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

test('a microphone that is refused is told in words, and leaves nothing open', async () => {
  openMicrophone = () => Promise.reject(new Refused('The microphone is not allowed.'));
  const talker = client();
  const told = { name: 'VoiceError', message: 'The microphone is not allowed.', hint: 'Allow it.' };
  await assert.rejects(talker.connect(), told);
  assert.equal(talker.state, 'ended');
  assert.deepEqual([Device.open, Line.all], [[], []]);
});

test('who leaves before the microphone is allowed leaves nothing open', async () => {
  /** @type {(device: Device) => void} */
  let allow = () => {};
  openMicrophone = () => new Promise((resolve) => (allow = resolve));
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
  openMicrophone = () => Promise.reject(new Refused('There is no microphone.'));
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
  openMicrophone = () => Promise.reject(new SoundError(UNREACHED, 'The server is away.', ''));
  socket.onclose({ code: 1001, reason: '' });
  await talker.reconnect(); // the first attempt, without the wait
  await line();
  assert.equal(talker.state, 'connecting');
  openMicrophone = async (options) => new Device(options);
  await talker.reconnect();
  assert.notEqual(await line(), socket);
  talker.close();
});

test('what was said stays until another conversation has begun', async () => {
  const { talker, socket } = await talking();
  socket.tell({ type: 'user_text', turn: 1, text: 'hello.', typed: false, seq: 2 });
  /** @type {CustomEvent[]} */
  const ends = [];
  talker.addEventListener('ended', (event) => ends.push(/** @type {CustomEvent} */ (event)));
  socket.onclose({ code: 4026, reason: '' });
  assert.match(ends[0]?.detail.reason, /Start a new one/);
  const connected = talker.reconnect();
  assert.equal(talker.transcript(), 'You: hello.\n');
  const second = await line();
  second.onopen();
  second.tell(READY);
  assert.equal(talker.transcript(), '');
  second.onclose({ code: 4030, reason: '' });
  await assert.rejects(connected, { code: 4030, hint: 'Try again in a minute.' });
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
    assert.equal(talker.transcript(), 'Assistant: One two. [cut off]\n');
    assert.ok(turnsTold);
  });
}
