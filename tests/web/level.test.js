import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Level, loudness } from '../../web_client/audio/level.js';

test('loudness goes by decibels, from -60 dBFS to full scale', () => {
  assert.equal(loudness(1), 1);
  assert.equal(loudness(0), 0);
  assert.equal(loudness(1e-9), 0);
  assert.equal(loudness(4), 1);
  assert.ok(Math.abs(loudness(1e-3) - 0.5) < 1e-9);
});

test('the level is the loudest of the last 50 ms', () => {
  const level = new Level();
  assert.equal(level.level(), 0);
  for (const value of [1, 0.5, 0.25, 0.125]) level.push(value);
  assert.equal(level.level(), 0.5);
});

test('the wave is the newest values, oldest first, and nothing before the beginning', () => {
  const level = new Level();
  for (const value of [0.25, 0.5, 0.75]) level.push(value);
  const wave = new Float32Array(5).fill(9);
  level.wave(wave);
  assert.deepEqual([...wave], [0, 0, 0.25, 0.5, 0.75]);
});

test('the wave goes back twenty seconds and no further', () => {
  const level = new Level();
  for (let i = 0; i < 5000; i++) level.push((i % 1024) / 1024);
  const wave = new Float32Array(1100);
  level.wave(wave);
  assert.deepEqual([...wave.subarray(0, 76)], Array.from({ length: 76 }, () => 0));
  assert.equal(wave[76], ((5000 - 1024) % 1024) / 1024);
  assert.equal(wave[1099], (4999 % 1024) / 1024);
});
