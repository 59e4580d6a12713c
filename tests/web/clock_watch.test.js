/** Sound that stands still, and a page that was asleep. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClockWatch } from '../../web_client/audio/clock-watch.js';

const DAY_MS = 1.7e12;

/** @param {...[ms: number, clockS: number]} checks */
function last(...checks) {
  const watch = new ClockWatch();
  let findings = { stalled: false, sleptS: 0 };
  for (const [ms, clockS] of checks) findings = watch.check(DAY_MS + ms, clockS);
  return findings;
}

test('a clock that advances is well, whatever its pace', () => {
  assert.deepEqual(last([0, 0], [1000, 1], [2000, 1.1], [3000, 4]), { stalled: false, sleptS: 0 });
});

test('a clock that stands still is reported after a while, until it advances', () => {
  assert.equal(last([0, 5], [1000, 5], [2000, 5]).stalled, false);
  assert.equal(last([0, 5], [1000, 5], [2000, 5], [3000, 5]).stalled, true);
  assert.equal(last([0, 5], [1000, 5], [2000, 5], [3000, 5], [4000, 5.5]).stalled, false);
});

test('a page that was asleep is told how long, once', () => {
  assert.deepEqual(last([0, 5], [40_000, 5.5]), { stalled: false, sleptS: 40 });
  assert.deepEqual(last([0, 5], [40_000, 5.5], [41_000, 6.5]), { stalled: false, sleptS: 0 });
});

test('timers that are late while the sound goes on are no sleep', () => {
  assert.equal(last([0, 5], [60_000, 65]).sleptS, 0);
});

test('another context begins anew', () => {
  assert.deepEqual(last([0, 500], [1000, 0], [2000, 1]), { stalled: false, sleptS: 0 });
});
