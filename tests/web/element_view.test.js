// What <sonic-voice> shows and offers, as far as it needs no browser.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { readableJson, segments } from '../../web_client/view/transcript.js';
import { isLive, mainStep, nextStep, stateInWords } from '../../web_client/view/wording.js';

/** @import { Turn } from '../../web_client/conversation.js' */

/** @type {import('../../web_client/view/wording.js').Hearing} */
const OPEN = { muted: false, pushToTalk: false, talking: false, input: 'open', stalled: false };

/**
 * @param {Partial<Turn>} more
 * @returns {Turn}
 */
function answer(more) {
  const nothing = { parts: [], tools: [], heard: '', lost: '', responseMs: null };
  const numbers = { atMs: 0, heardLength: 0 };
  const flags = { typed: false, interrupted: false, over: false };
  return { number: 1, who: 'assistant', ...flags, ...nothing, ...numbers, ...more };
}

test('an answer is spoken as far as it was heard, and planned beyond', () => {
  const parts = /** @type {const} */ ([
    { text: 'Hello!', stage: 'FINAL' },
    { text: ' What now?', stage: 'SPECULATIVE' },
  ]);
  assert.deepEqual(segments(answer({ parts, heardLength: 11 })), [
    { kind: 'spoken', text: 'Hello! What ' },
    { kind: 'planned', text: 'now?' },
  ]);
  assert.deepEqual(segments(answer({ parts, over: true })), [
    { kind: 'spoken', text: 'Hello! What now?' },
  ]);
});

test('the line through a lost tail begins at its first word', () => {
  const cut = answer({ interrupted: true, heard: 'Once upon', lost: ' a time.' });
  assert.deepEqual(segments(cut), [
    { kind: 'spoken', text: 'Once upon ' },
    { kind: 'lost', text: 'a time.' },
  ]);
});

test('an answer that was cut before a word is all lost', () => {
  const cut = answer({ interrupted: true, heard: '', lost: 'Once upon a time.' });
  assert.deepEqual(segments(cut), [{ kind: 'lost', text: 'Once upon a time.' }]);
});

test('an answer that was cut shows its plan until it is known what was heard', () => {
  const parts = /** @type {const} */ ([{ text: 'Once upon a time.', stage: 'SPECULATIVE' }]);
  assert.deepEqual(segments(answer({ interrupted: true, parts })), [
    { kind: 'planned', text: 'Once upon a time.' },
  ]);
});

test('arguments are shown by name, whatever they are', () => {
  const several = '{"to": "Lyon", "at": [1, 2], "if": {"dry": true}}';
  assert.equal(readableJson(several), 'to Lyon, at [1,2], if {"dry":true}');
  assert.equal(readableJson('[1, 2]'), '[1, 2]');
  assert.equal(readableJson('null'), 'null');
  assert.equal(readableJson('{"cut":'), '{"cut":');
  assert.equal(readableJson(`"${'x'.repeat(5000)}"`).length, 601);
});

test('nobody is told that we listen while we do not', () => {
  assert.equal(stateInWords('listening', OPEN), 'listening');
  assert.equal(stateInWords('listening', { ...OPEN, muted: true }), 'muted');
  const held = { ...OPEN, pushToTalk: true };
  assert.equal(stateInWords('listening', held), 'waiting for you');
  assert.equal(stateInWords('listening', { ...held, talking: true }), 'listening');
  assert.equal(stateInWords('speaking', { ...OPEN, muted: true }), 'speaking');
  assert.equal(stateInWords('recovering', OPEN), 'reconnecting');
});

test('the button of a close does what its sentence says', async () => {
  const wire = new URL('../../web_client/protocol.json', import.meta.url);
  const { closes } = JSON.parse(await readFile(wire, 'utf8'));
  /** @type {[RegExp, string][]} */
  const acts = [
    [/Reload the page\.$/, 'reload'],
    [/Sign in again\.$/, 'sign-in'],
    [/voice or language/, 'plain-voice'],
  ];
  for (const { code, reason } of closes) {
    const [, act] = acts.find(([sentence]) => sentence.test(reason)) ?? [null, 'start'];
    assert.equal(nextStep(code).act, act, `${code} ${reason}`);
  }
});

test('there is one thing to press, and none while it goes well', () => {
  const trouble = { text: 'The token has expired.', step: nextStep(4011) };
  assert.equal(mainStep('idle', null)?.label, 'Start talking');
  assert.equal(mainStep('ended', null)?.label, 'Start again');
  assert.equal(mainStep('ended', trouble)?.label, 'Sign in again');
  assert.equal(mainStep('reconnecting', trouble)?.act, 'retry');
  /** @type {import('../../web_client/voice-client.js').State[]} */
  const states = ['connecting', 'listening', 'hearing', 'speaking', 'recovering'];
  for (const state of states) {
    assert.equal(mainStep(state, null), null);
    assert.equal(isLive(state), state !== 'connecting');
  }
});
