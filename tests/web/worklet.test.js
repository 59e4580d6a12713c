// The real processors, on a stage of our own: three globals, and a port that moves what is moved.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

class Port {
  /** @type {any[]} */
  posted = [];
  /** @type {(event: {data: any}) => void} */
  onmessage = () => assert.fail('nobody listens');

  /** @param {any} message @param {Transferable[]} [transfer] */
  postMessage(message, transfer = []) {
    this.posted.push(structuredClone(message, { transfer }));
  }

  /** @param {any} message */
  send(message) {
    this.onmessage({ data: message });
  }
}

/** @type {Map<string, new (options: object) => any>} */
const registered = new Map();
const stage = {
  AudioWorkletProcessor: class {
    port = new Port();
  },
  registerProcessor: registered.set.bind(registered),
  sampleRate: 48000,
  currentTime: 0,
};
Object.assign(globalThis, stage);
await import('../../web_client/audio/capture-worklet.js');
await import('../../web_client/audio/playback-worklet.js');

const QUANTUM = 128;

/** @param {string} name @param {number} deviceHz @param {number} rateHz */
function processor(name, deviceHz, rateHz) {
  Object.assign(globalThis, { sampleRate: deviceHz, currentTime: 0 });
  const Registered = registered.get(name) ?? assert.fail(name);
  const made = new Registered({ processorOptions: { rateHz } });
  return { made, port: /** @type {Port} */ (made.port) };
}

/** @param {number} hz @param {number} rateHz @param {number} samples */
const tone = (hz, rateHz, samples) =>
  Float32Array.from({ length: samples }, (_, i) => Math.sin((2 * Math.PI * hz * i) / rateHz) / 2);

/** The best correlation of `got` with `wanted`, shifted by up to `most` samples. */
function correlation(
  /** @type {Float32Array} */ wanted,
  /** @type {Float32Array} */ got,
  /** @type {number} */ most,
) {
  let best = 0;
  for (let shift = 0; shift < most; shift++) {
    let [product, a, b] = [0, 0, 0];
    for (let i = 500; i < wanted.length - 500; i++) {
      const [x, y] = [wanted[i] ?? 0, got[i + shift] ?? 0];
      product += x * y;
      a += x * x;
      b += y * y;
    }
    best = Math.max(best, product / Math.sqrt(a * b));
  }
  return best;
}

describe('capture', () => {
  /** @param {any} made @param {Float32Array} sound */
  function hear(made, sound) {
    for (let at = 0; at + QUANTUM <= sound.length; at += QUANTUM) {
      assert.equal(made.process([[sound.subarray(at, at + QUANTUM)]], []), true);
    }
  }

  for (const deviceHz of [16000, 44100, 48000]) {
    test(`at ${deviceHz} Hz a tone comes as frames of 20 ms at 16 kHz`, () => {
      const { made, port } = processor('sonic-voice-capture', deviceHz, 16000);
      hear(made, tone(440, deviceHz, deviceHz));
      assert.ok(port.posted.length === 49 || port.posted.length === 50);
      assert.ok(port.posted.every((frame) => frame instanceof Int16Array && frame.length === 320));
      const got = Float32Array.from(port.posted.flatMap((frame) => [...frame]), (s) => s / 32768);
      assert.ok(correlation(tone(440, 16000, 15000), got, 60) > 0.999);
    });
  }

  test('what is louder than full scale is clipped, not wrapped', () => {
    const { made, port } = processor('sonic-voice-capture', 16000, 16000);
    hear(made, new Float32Array(384).fill(1.5));
    hear(made, new Float32Array(384).fill(-1.5));
    assert.equal(Math.max(...port.posted[0]), 32767);
    assert.equal(Math.min(...port.posted[1]), -32768);
  });

  test('a buffer that came back is filled again', () => {
    const { made, port } = processor('sonic-voice-capture', 16000, 16000);
    port.send(new ArrayBuffer(640, { maxByteLength: 640 })); // known by being resizable
    hear(made, new Float32Array(16000));
    const resizable = port.posted.map((frame) => frame.buffer.resizable);
    assert.deepEqual(resizable.slice(0, 3), [false, true, false]);
    assert.equal(port.posted.length, 50, 'and without more of them nothing is lost');
  });

  test('without a device, or after the stop, nothing is sent', () => {
    const { made, port } = processor('sonic-voice-capture', 48000, 16000);
    assert.equal(made.process([[]], []), true);
    port.send(null);
    assert.equal(made.process([[new Float32Array(QUANTUM)]], []), false);
    assert.deepEqual(port.posted, []);
  });
});

describe('playback', () => {
  /** @param {any} made @param {number} samples */
  function render(made, samples) {
    const sound = new Float32Array(Math.ceil(samples / QUANTUM) * QUANTUM);
    for (let at = 0; at < sound.length; at += QUANTUM) {
      assert.equal(made.process([], [[sound.subarray(at, at + QUANTUM)]]), true);
      Object.assign(globalThis, { currentTime: currentTime + QUANTUM / sampleRate });
    }
    return sound;
  }

  /** @param {Port} port @param {Float32Array} sound */
  function play(port, sound, epoch = 0, turn = 1) {
    const samples = Int16Array.from(sound, (sample) => Math.round(sample * 32767));
    port.send({ kind: 'play', epoch, turn, start: 0, samples });
  }

  for (const deviceHz of [24000, 44100, 48000, 96000]) {
    test(`at ${deviceHz} Hz a turn sounds as it came`, () => {
      const { made, port } = processor('sonic-voice-playback', deviceHz, 24000);
      play(port, tone(440, 24000, 24000));
      const got = render(made, deviceHz * 1.1);
      assert.ok(correlation(tone(440, deviceHz, deviceHz * 0.9), got, deviceHz / 200) > 0.999);
    });

    test(`at ${deviceHz} Hz a flush is silence after a quantum and 7 ms`, () => {
      const { made, port } = processor('sonic-voice-playback', deviceHz, 24000);
      play(port, tone(440, 24000, 24000));
      render(made, deviceHz / 2);
      port.send({ kind: 'flush', epoch: 1 });
      const rest = render(made, deviceHz / 10);
      // What rings on in the resampler behind those is below -84 dB.
      const silent = rest.subarray(QUANTUM + Math.ceil(0.007 * deviceHz));
      assert.ok(silent.every((sample) => Math.abs(sample) < 1e-4));
    });
  }

  test('every 20 ms it tells where the turn is, when that leaves the thread', () => {
    const { made, port } = processor('sonic-voice-playback', 48000, 24000);
    play(port, tone(440, 24000, 24000), 7, 3);
    render(made, 24000);
    assert.ok(port.posted.length >= 22);
    for (const [timeS, epoch, turn, samples, sounding, level, underruns] of port.posted) {
      assert.deepEqual([epoch, turn, sounding, underruns], [7, 3, 1, 0]);
      assert.ok(Math.abs(timeS - 64 / 48000 - samples / 24000) < 1e-3);
      assert.ok(level > 0.7 && level < 0.9, `-9 dBFS is 0.85, not ${level}`);
    }
  });

  test('the last word on a turn is its whole length, in silence', () => {
    const { made, port } = processor('sonic-voice-playback', 44100, 24000);
    play(port, tone(440, 24000, 12345));
    render(made, 44100);
    const [, , turn, samples, sounding, level] = port.posted.at(-1) ?? assert.fail('nothing told');
    assert.deepEqual([turn, samples, sounding, level], [1, 12345, 0, 0]);
  });

  test('after the close it is done', () => {
    const { made, port } = processor('sonic-voice-playback', 48000, 24000);
    port.send({ kind: 'close' });
    assert.equal(made.process([], [[new Float32Array(QUANTUM)]]), false);
  });
});
