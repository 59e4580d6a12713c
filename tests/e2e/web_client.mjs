/**
 * Plays a page by `VoiceClient` itself, in Node.js: the socket is real, the devices are not.
 *
 *     node --experimental-websocket web_client.mjs VOICE_CLIENT.JS '{"url": ..., "origin": ...}'
 *
 * Reads a command a line, `{"method": ..., "args": [...]}`, and prints a line of JSON for what each
 * returned, for every event, and for every report of the loudspeaker, which plays by the clock.
 */

import { createInterface } from 'node:readline';

const [path, settings] = process.argv.slice(2);
const { url, origin, token } = JSON.parse(settings);

const RATE_HZ = 24_000;
const REPORT_MS = 100;
const FRAME_MS = 20;

/** As a browser's: says where the page is from, and closes after an error, too. */
globalThis.WebSocket = class extends WebSocket {
  constructor(where, protocol) {
    super(where, { protocols: [protocol], headers: { Origin: origin } });
    const close = Object.assign(new Event('close'), { code: 1006, reason: '' });
    this.addEventListener('error', () => this.dispatchEvent(close), { once: true });
  }
};

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Hears nothing, all the time. */
class Microphone {
  static async open({ onSamples }) {
    return new Microphone(onSamples);
  }

  constructor(onSamples) {
    this.timer = setInterval(() => onSamples(new Int16Array(320)), FRAME_MS);
  }

  async close() {
    clearInterval(this.timer);
  }
}

/** Plays what comes at the pace of life, and checks that each sample comes once and in order. */
class Loudspeaker {
  static async open({ onPlayed }) {
    return new Loudspeaker(onPlayed);
  }

  constructor(onPlayed) {
    this.onPlayed = onPlayed;
    this.flush(0);
    this.timer = setInterval(() => this.tick(), REPORT_MS);
  }

  flush(epoch) {
    this.epoch = epoch;
    this.frames = [];
    this.at ??= { turn: 0, samples: 0 };
    this.onPlayed({ epoch, ...this.at, playing: false });
  }

  play({ epoch, turn, start, samples }) {
    const last = this.frames.at(-1) ?? { turn: this.at.turn, end: this.at.samples };
    const expected = last.turn === turn ? last.end : 0;
    if (epoch !== this.epoch || start !== expected) print({ event: 'gap', start, expected });
    this.frames.push({ turn, end: start + samples.length });
  }

  tick() {
    let left = (RATE_HZ * REPORT_MS) / 1000;
    const was = this.at;
    while (left > 0 && this.frames.length) {
      const [{ turn, end }] = this.frames;
      const from = this.at.turn === turn ? this.at.samples : 0;
      const step = Math.min(left, end - from);
      this.at = { turn, samples: from + step };
      if (from + step === end) this.frames.shift();
      left -= step;
    }
    if (this.at !== was) {
      this.onPlayed({ epoch: this.epoch, ...this.at, playing: this.frames.length > 0 });
    }
  }

  async close() {
    clearInterval(this.timer);
  }
}

const { VoiceClient } = await import(path);
const client = new VoiceClient({ url, token, sound: { Microphone, Loudspeaker } });
for (const event of ['state', 'notice', 'ended']) {
  client.addEventListener(event, ({ detail }) => print({ event, ...detail }));
}
client.addEventListener('turns', () => print({ event: 'turns', turns: client.turns }));

for await (const line of createInterface({ input: process.stdin })) {
  const { method, args = [] } = JSON.parse(line);
  try {
    const result = await client[method](...args);
    print({ event: 'done', method, result });
  } catch ({ name, message, hint, code }) {
    print({ event: 'failed', method, name, message, hint, code });
  }
}
client.close();
