import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Resampler } from '../../web_client/audio/resampler.js';

const RATES = [
  [48000, 16000],
  [44100, 16000],
  [24000, 48000],
  [24000, 44100],
  [24000, 16000],
  [8000, 16000],
].map(([fromHz = 0, toHz = 0]) => ({ fromHz, toHz, title: `${fromHz} to ${toHz} Hz` }));

/** One second of it. @param {number} hz @param {number} rateHz */
function tone(hz, rateHz) {
  const step = (2 * Math.PI * hz) / rateHz;
  return Float32Array.from({ length: rateHz }, (_, i) => Math.sin(step * i));
}

/** @param {number} samples @param {number} seed */
function noise(samples, seed) {
  const next = random(seed);
  return Float32Array.from({ length: samples }, () => 2 * next() - 1);
}

/** Numbers from 0 to 1, the same for the same seed. @param {number} seed */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * @param {Float32Array} input
 * @param {{fromHz: number, toHz: number}} rates
 * @param {() => number} [chunk] samples of the next call
 */
function resampled(input, { fromHz, toHz }, chunk = () => input.length) {
  const resampler = new Resampler(fromHz, toHz, input.length);
  const output = new Float32Array(Math.ceil((input.length * toHz) / fromHz) + 1);
  /** @type {number[]} */
  const all = [];
  for (let at = 0; at < input.length; ) {
    const part = input.subarray(at, at + chunk());
    const count = resampler.resample(part, part.length, output);
    all.push(...output.subarray(0, count));
    at += part.length;
  }
  return Float32Array.from(all);
}

/** The power of the middle of `samples`, against a full tone's. @param {Float32Array} samples */
function decibels(samples) {
  const middle = samples.subarray(samples.length / 4, (3 * samples.length) / 4);
  const power = middle.reduce((sum, sample) => sum + sample * sample, 0) / middle.length;
  return 10 * Math.log10(2 * power);
}

for (const rates of RATES) {
  const nyquistHz = Math.min(rates.fromHz, rates.toHz) / 2;

  for (const part of [0.01, 0.1, 0.5, 0.8]) {
    test(`${rates.title}: a tone at ${part} of the lower Nyquist frequency passes`, () => {
      const level = decibels(resampled(tone(part * nyquistHz, rates.fromHz), rates));
      assert.ok(Math.abs(level) < 0.1, `${level} dB`);
    });
  }

  test(`${rates.title}: a tone arrives as itself, later by the known delay`, () => {
    const hz = 0.4 * nyquistHz;
    const { delayS } = new Resampler(rates.fromHz, rates.toHz, 1);
    const output = resampled(tone(hz, rates.fromHz), rates);
    for (let i = output.length >> 1; i < (output.length >> 1) + 1000; i++) {
      const expected = Math.sin(2 * Math.PI * hz * (i / rates.toHz - delayS));
      assert.ok(Math.abs((output[i] ?? 0) - expected) < 1e-3);
    }
  });

  test(`${rates.title}: random chunks give what one gives`, () => {
    const input = noise(rates.fromHz / 10, 1);
    const next = random(2);
    const streamed = resampled(input, rates, () => 1 + Math.floor(next() * 300));
    assert.deepEqual(streamed, resampled(input, rates));
  });

  test(`${rates.title}: exactly what is asked for comes out of what it says it needs`, () => {
    const resampler = new Resampler(rates.fromHz, rates.toHz, 1000);
    const output = new Float32Array(128);
    const input = noise(rates.fromHz, 3);
    const whole = resampled(input, rates);
    let at = 0;
    for (let done = 0; done < rates.toHz / 2; done += output.length) {
      const needed = resampler.needs(output.length);
      assert.equal(resampler.resample(input.subarray(at), needed, output), output.length);
      assert.deepEqual(output, whole.slice(done, done + output.length));
      at += needed;
    }
    assert.ok(Math.abs(at / rates.fromHz - 0.5) < 0.01);
  });
}

for (const rates of RATES.filter(({ fromHz, toHz }) => fromHz > toHz)) {
  for (const hz of [1, 1.02, 1.3].map((part) => (part * rates.toHz) / 2)) {
    test(`${rates.title}: a tone of ${hz} Hz, which the lower rate cannot carry, is gone`, () => {
      const level = decibels(resampled(tone(hz, rates.fromHz), rates));
      assert.ok(level < -80, `${level} dB`);
    });
  }
}

for (const rates of RATES.filter(({ fromHz, toHz }) => fromHz < toHz)) {
  test(`${rates.title}: no image of a tone appears above the old Nyquist frequency`, () => {
    const hz = 0.3 * rates.fromHz;
    const output = resampled(tone(hz, rates.fromHz), rates);
    const middle = output.subarray(output.length / 4, (3 * output.length) / 4);
    const image = 2 * Math.PI * ((rates.fromHz - hz) / rates.toHz);
    let [real, imaginary] = [0, 0];
    middle.forEach((sample, i) => {
      const window = 1 - Math.cos((2 * Math.PI * i) / middle.length);
      real += sample * window * Math.cos(image * i);
      imaginary += sample * window * Math.sin(image * i);
    });
    const level = 20 * Math.log10((2 * Math.hypot(real, imaginary)) / middle.length);
    assert.ok(level < -80, `${level} dB`);
  });
}

test('the same rate is passed through untouched and at once', () => {
  const input = noise(1000, 4);
  const resampler = new Resampler(24000, 24000, input.length);
  const output = new Float32Array(input.length);
  assert.equal(resampler.needs(128), 128);
  assert.equal(resampler.resample(input, input.length, output), input.length);
  assert.deepEqual(output, input);
  assert.equal(resampler.delayS, 0);
});
