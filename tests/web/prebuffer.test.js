import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Prebuffer } from '../../web_client/audio/prebuffer.js';

test('each gap doubles what has to wait, up to the most', () => {
  const prebuffer = new Prebuffer(40, 320);
  const steps = Array.from({ length: 5 }, () => {
    prebuffer.runDry();
    return prebuffer.ms;
  });
  assert.deepEqual(steps, [80, 160, 320, 320, 320]);
});

test('a turn without a gap takes a quarter off, down to the least', () => {
  const prebuffer = new Prebuffer(40, 320);
  prebuffer.runDry();
  prebuffer.newTurn();
  assert.equal(prebuffer.ms, 80, 'the turn that ran dry takes nothing off');
  prebuffer.newTurn();
  assert.equal(prebuffer.ms, 60);
  for (let turn = 0; turn < 5; turn++) prebuffer.newTurn();
  assert.equal(prebuffer.ms, 40);
});

test('after the worst it comes back in eight good turns', () => {
  const prebuffer = new Prebuffer(40, 320);
  for (let gap = 0; gap < 3; gap++) prebuffer.runDry();
  prebuffer.newTurn();
  let turns = 0;
  for (; prebuffer.ms > 40; turns++) prebuffer.newTurn();
  assert.equal(turns, 8);
});
