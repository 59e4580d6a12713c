/** A client whose other ends are the test: the socket, the devices and the network. */

import assert from 'node:assert/strict';

import { VoiceClient } from '../../web_client/voice-client.js';

export const READY = {
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
export class Line {
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

  /**
   * @param {URL} url
   * @param {string[]} protocols
   */
  constructor(url, protocols) {
    this.url = url.href;
    this.protocols = protocols;
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

/** The members of a device and a loudspeaker, and a record of their calls. */
export class Device {
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
export class Refused extends Error {
  hint = 'Allow it.';
}

/** The function that opens microphones. A test may replace it. */
export const microphones = {
  /**
   * @param {object} options
   * @returns {Promise<Device>}
   */
  open: async (options) => new Device(options),
};
const sound = {
  Microphone: { open: (/** @type {object} */ options) => microphones.open(options) },
  Loudspeaker: { open: async (/** @type {object} */ options) => new Device(options) },
};
export const net = new EventTarget();
Object.assign(globalThis, { WebSocket: Line, window: net });

/** Begin a test: nothing is open, and every microphone can be. */
export function reset() {
  Line.all = [];
  Device.open = [];
  microphones.open = async (options) => new Device(options);
}

/** @param {object} [options] */
export function client(options) {
  return new VoiceClient({ url: 'https://voice.example/talk', sound, ...options });
}

/** The newest socket, when what is promised so far has been done. */
export async function line() {
  await new Promise(setImmediate);
  const newest = Line.all.at(-1);
  assert.ok(newest);
  return newest;
}

/** A client that talks. @param {object} [options] */
export async function talking(options, ready = READY) {
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
export function notices(talker) {
  /** @type {string[]} */
  const texts = [];
  talker.addEventListener('notice', (event) => {
    texts.push(/** @type {CustomEvent} */ (event).detail.text);
  });
  return texts;
}

/** The words that are saved, without headings and times. @param {VoiceClient} talker */
export function saved(talker) {
  const lines = talker.transcript().split('\n');
  return lines.flatMap((text) => /^\d\d:\d\d:\d\d (.*)/.exec(text)?.[1] ?? []);
}

/** The last frame of sound that was sent. @param {Line} socket */
export function spoken(socket) {
  const frame = socket.sent.at(-1);
  assert.ok(frame instanceof ArrayBuffer);
  return new Int16Array(frame, 2);
}

