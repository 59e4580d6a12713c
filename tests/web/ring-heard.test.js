import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HeardPosition } from '../../web_client/audio/heard.js';

/**
 * @param {number} timeS
 * @param {number} turn
 * @param {number} samples
 */
const status = (timeS, turn, samples, sounding = true) => ({
  timeS,
  epoch: 1,
  turn,
  samples,
  sounding,
});

test('before anything has sounded, turn 0 is at 0', () => {
  const heard = new HeardPosition();
  assert.deepEqual(heard.at(5), { epoch: 0, turn: 0, samples: 0, playing: false });
});

test('what is under way to the ear has not been heard', () => {
  const heard = new HeardPosition();
  heard.record(status(1, 1, 480));
  assert.equal(heard.at(0.99).turn, 0);
  assert.deepEqual(heard.at(1), { epoch: 1, turn: 1, samples: 480, playing: true });
});

test('between two statuses the position moves evenly, behind the last it waits', () => {
  const heard = new HeardPosition();
  heard.record(status(1, 1, 480));
  heard.record(status(1.02, 1, 960));
  assert.equal(heard.at(1.005).samples, 600);
  assert.equal(heard.at(1.03).samples, 960);
});

test('the end of a turn is heard to its end, though the next one has begun', () => {
  const heard = new HeardPosition();
  heard.record(status(1, 1, 240));
  heard.record(status(1.02, 2, 480));
  assert.deepEqual(heard.at(1.01), { epoch: 1, turn: 1, samples: 240, playing: true });
  assert.deepEqual(heard.at(1.02), { epoch: 1, turn: 2, samples: 480, playing: true });
});

test('the end of sound is heard when it is heard', () => {
  const heard = new HeardPosition();
  heard.record(status(1, 1, 480));
  heard.record(status(1.02, 1, 720, false));
  assert.equal(heard.at(1.019).playing, true);
  assert.deepEqual(heard.at(1.02), { epoch: 1, turn: 1, samples: 720, playing: false });
});
