/** The words for each end, against both descriptions of the protocol. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import {
  CLOSES,
  LOST,
  RESTART_CODE,
  UNREACHABLE,
  VoiceError,
  ending,
} from '../../web_client/closing.js';

/** @param {string} name */
function text(name) {
  return readFileSync(new URL(`../../web_client/${name}`, import.meta.url), 'utf8');
}

test('the codes are those of the examples, in their words', () => {
  assert.deepEqual([...CLOSES.values()], JSON.parse(text('protocol.json')).closes);
});

test('the codes are those of the table in the README, in its words', () => {
  const rows = text('README.md').matchAll(/^\| (\d{4}) \| (.*) \| ?(again)? \|$/gm);
  const described = [...rows].map(([, code, reason, again]) => {
    return { code: Number(code), reason, again: again !== undefined };
  });
  assert.deepEqual(described, [...CLOSES.values()]);
});

test('the one code that asks the page to return ends nothing', () => {
  const { returns } = JSON.parse(text('protocol.json'));
  assert.deepEqual(
    returns.map((/** @type {{ code: number }} */ { code }) => code),
    [RESTART_CODE],
  );
  assert.equal(ending(RESTART_CODE, returns[0].reason), null);
});

test('a connection that nobody closed on purpose is lost, and can be resumed', () => {
  for (const code of [1002, 1005, 1006, 1012, 1013, 1015]) assert.equal(ending(code), null);
});

test("the words are the table's, whatever a proxy says", () => {
  assert.equal(ending(1001, 'idle timeout')?.reason, CLOSES.get(1001)?.reason);
});

test('a code of a later server ends it, in the words of that server', () => {
  const later = { code: 4999, reason: 'The moon is full. Wait a day.', again: false };
  assert.deepEqual(ending(4999, later.reason), later);
  assert.match(ending(4999)?.reason ?? '', /Reload/);
});

test('an error says what happened, and what to do next', () => {
  for (const end of [...CLOSES.values(), LOST, UNREACHABLE]) {
    const { message, hint, code } = new VoiceError(end);
    assert.equal(`${message} ${hint}`.trim(), end.reason);
    assert.match(message, /^[A-Z].*\.$/);
    if (![1000, 4027].includes(code)) assert.match(hint, /^[A-Z].*\.$/, end.reason);
  }
});
