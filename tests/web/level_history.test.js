// The levels that the waveform draws.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { loudness } from '../../web_client/audio/level.js';
import {
  LevelHistory,
  SLOTS,
  SLOT_MS,
  relativeHeight,
} from '../../web_client/view/level-history.js';

test('the loudest moment of a slot stands for it', () => {
  const history = new LevelHistory();
  history.record(1000, 0.25, 0);
  history.record(1016, 0.75, 0.5);
  history.record(1032, 0.125, 0);
  assert.equal(history.person(0), 0.75);
  assert.equal(history.voice(0), 0.5);
});

test('both voices keep their places as time goes on', () => {
  const history = new LevelHistory();
  history.record(0, 0.5, 0);
  history.record(SLOT_MS, 0, 0.25);
  history.record(2 * SLOT_MS, 0, 0);
  assert.deepEqual([history.person(2), history.person(1), history.person(0)], [0.5, 0, 0]);
  assert.deepEqual([history.voice(2), history.voice(1), history.voice(0)], [0, 0.25, 0]);
});

test('a slow screen leaves no gaps in a voice', () => {
  const history = new LevelHistory();
  history.record(0, 0.5, 0);
  history.record(3 * SLOT_MS, 0.5, 0);
  assert.deepEqual([history.person(2), history.person(1)], [0.5, 0.5]);
});

test('a tab that was in the background shows silence, not what it last saw', () => {
  const history = new LevelHistory();
  history.record(0, 0.5, 0.5);
  history.record(60_000, 0.5, 0);
  assert.equal(history.person(0), 0.5);
  assert.deepEqual([history.person(1), history.voice(1)], [0, 0]);
  for (let ago = 2; ago < SLOTS; ago += 1) assert.equal(history.person(ago), 0);
});

test('an hour goes through it', () => {
  const history = new LevelHistory();
  for (let slot = 0; slot < 90_000; slot += 1) history.record(slot * SLOT_MS, slot % 2 ? 1 : 0, 0);
  assert.equal(history.person(0), 1);
  assert.equal(history.person(1), 0);
  assert.equal(history.person(SLOTS - 1), 0);
});

test('a quiet room is flat, a shout fills the height, and speech is between', () => {
  /** @param {number} dbfs */
  const at = (dbfs) => relativeHeight(loudness(10 ** (dbfs / 10)));
  assert.equal(at(-50), 0);
  assert.equal(at(0), 1);
  assert.ok(at(-40) < 0.05);
  assert.ok(at(-24) > 0.1 && at(-24) < 0.4);
  assert.ok(at(-12) > at(-24) + 0.2);
});
