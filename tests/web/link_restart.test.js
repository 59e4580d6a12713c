/** A server that restarts and asks the page to connect again, to another one. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as limits from '../../web_client/link-limits.js';
import { Link } from '../../web_client/link.js';

/** @typedef {import('../../web_client/link-effects.js').Effect} Effect */

const READY = {
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
const RESUMED = { ...READY, resumed: true };

/**
 * @param {Link} link
 * @param {object} message
 */
function hear(link, message) {
  return link.received(JSON.stringify(message), 0);
}

function talking() {
  const link = new Link();
  link.begin();
  link.opening(0);
  link.opened('token');
  hear(link, READY);
  return link;
}

/** @param {Effect[]} effects */
function names(effects) {
  return effects.map((effect) => effect.do);
}

/** @param {Effect[]} effects */
function notices(effects) {
  return effects.flatMap((effect) => (effect.do === 'notice' ? [effect.text] : []));
}

/** @param {Effect[]} effects */
function ending(effects) {
  const last = effects.at(-1);
  return last?.do === 'end' ? last.ending : null;
}

test('a server that restarts is left without a word of loss, and the next one continues', () => {
  const link = talking();
  const effects = link.closed(1012, 'The server is restarting.', 0);
  assert.deepEqual(names(effects), ['drop', 'notice']);
  assert.match(notices(effects)[0] ?? '', /restarting/);
  assert.equal(link.phase, 'reconnecting');
  assert.deepEqual(link.tick(250), [{ do: 'open', fresh: false }]);
  link.opening(250);
  assert.deepEqual(names(link.closed(1012, '', 300)), ['drop'], 'it is still restarting');
  link.tick(link.dueMs);
  const [{ frame }] = /** @type {any[]} */ (link.opened(''));
  assert.equal(JSON.parse(frame).resume, 'word');
  hear(link, RESUMED);
  assert.equal(link.phase, 'talking');
});

test('a first attempt at a server that restarts is repeated until another one takes it', () => {
  const link = new Link();
  link.begin();
  for (let nowMs = 0; nowMs < 5000; nowMs = link.dueMs) {
    link.opening(nowMs);
    link.opened('token');
    assert.deepEqual(names(link.closed(1012, '', nowMs)), ['drop']);
    assert.equal(link.phase, 'connecting');
    assert.ok(link.dueMs - nowMs <= limits.LONGEST_WAIT_MS);
    assert.deepEqual(link.tick(link.dueMs), [{ do: 'open', fresh: true }]);
  }
  hear(link, READY);
  assert.equal(link.phase, 'talking');
});

test('a server that restarts for ever is said to be stopping in the end', () => {
  const link = new Link();
  link.begin();
  let effects = link.closed(1012, '', 0);
  for (let nowMs = link.dueMs; link.phase !== 'ended'; nowMs = link.dueMs) {
    link.tick(nowMs);
    effects = link.closed(1012, '', nowMs);
  }
  assert.equal(ending(effects)?.code, 1001);
});
