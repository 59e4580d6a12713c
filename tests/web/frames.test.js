/** The sound frames, by the examples that the server's tests read too. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { isLater, readAnswer, voiceFrame } from '../../web_client/frames.js';

const fixture = new URL('../../web_client/protocol.json', import.meta.url);
const { voice, answer, refused } = JSON.parse(readFileSync(fixture, 'utf8'));

/** @param {string} hex */
function bytes(hex) {
  return Uint8Array.from(Buffer.from(hex, 'hex')).buffer;
}

test('a voice frame is that of the examples', () => {
  const frame = voiceFrame(Int16Array.from(voice.samples));
  assert.equal(Buffer.from(frame).toString('hex'), voice.frame_hex);
});

test('a voice frame keeps nothing of a buffer that goes back to the microphone', () => {
  const samples = Int16Array.from(voice.samples);
  const frame = voiceFrame(samples);
  samples.fill(0);
  assert.equal(Buffer.from(frame).toString('hex'), voice.frame_hex);
});

test('an answer frame is that of the examples', () => {
  const { frame_hex: hex, ...expected } = answer;
  const read = readAnswer(bytes(hex));
  assert.ok(read);
  assert.deepEqual({ ...read, samples: [...read.samples] }, expected);
});

test('numbers of an answer are unsigned', () => {
  const read = readAnswer(bytes('0200ffffffffffffffffffff'));
  assert.deepEqual([read?.epoch, read?.turn, read?.start], [65_535, 2 ** 32 - 1, 2 ** 32 - 1]);
  assert.equal(read?.samples.length, 0);
});

test('what the server refuses as sound is no answer either', () => {
  const frames = refused.flatMap((/** @type {{ frame_hex?: string }} */ { frame_hex: hex }) =>
    hex === undefined ? [] : [hex],
  );
  assert.ok(frames.length > 3);
  for (const hex of [...frames, voice.frame_hex, `${answer.frame_hex}00`]) {
    assert.equal(readAnswer(bytes(hex)), null, hex);
  }
});

test('epochs are counted modulo 65,536', () => {
  assert.ok(isLater(1, 0));
  assert.ok(isLater(0, 65_535));
  assert.ok(!isLater(65_535, 0));
  assert.ok(!isLater(7, 7));
});
