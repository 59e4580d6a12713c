/** The texts of the element, and their replacement. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { afterEach, test } from 'node:test';

import { LABELS, label, sentences, useLabels } from '../../web_client/labels.js';
import { announcement, mainStep, nextStep } from '../../web_client/view/wording.js';

const CLIENT = new URL('../../web_client/', import.meta.url);

afterEach(() => useLabels({}));

test('the table has every text that the element asks for, and no other', () => {
  const files = [...readdirSync(new URL('view/', CLIENT)).map((name) => `view/${name}`)];
  const source = [...files, 'sonic-voice.js', 'waveform.js']
    .map((name) => readFileSync(new URL(name, CLIENT), 'utf8'))
    .join('\n');
  const asked = [...source.matchAll(/\blabel\(\s*'([^']+)'/g)].map(([, text]) => text);
  for (const text of asked) assert.ok(LABELS.includes(text ?? ''), `${text} is not in the table`);
  for (const text of LABELS) assert.ok(source.includes(`'${text}'`), `${text} is used nowhere`);
});

test('a text that is not translated stays English', () => {
  useLabels({ Mute: 'Stumm', '{number} s': '{number} Sek.' });
  assert.equal(label('Mute'), 'Stumm');
  assert.equal(label('{number} s', { number: '0.9' }), '0.9 Sek.');
  assert.equal(label('toString'), 'toString');
  assert.equal(label('Interrupt'), 'Interrupt');
});

test('sentences are translated one by one, or as a whole', () => {
  useLabels({ 'Sign in again.': 'Bitte neu anmelden.', 'One. Two.': 'Eins und zwei.' });
  const told = sentences('The token has expired. Sign in again.');
  assert.equal(told, 'The token has expired. Bitte neu anmelden.');
  assert.equal(sentences('One. Two.'), 'Eins und zwei.');
});

test('screen readers are told what cannot be heard, and nothing else', () => {
  /** @type {import('../../web_client/view/wording.js').Hearing} */
  const open = { muted: false, pushToTalk: false, talking: false, input: 'open', stalled: false };
  for (const state of /** @type {const} */ (['hearing', 'thinking', 'tool', 'speaking'])) {
    assert.equal(announcement(state, open), '');
  }
  assert.equal(announcement('listening', open), 'listening');
  assert.equal(announcement('listening', { ...open, input: 'muted' }), 'muted by the system');
  assert.equal(announcement('speaking', { ...open, stalled: true }), 'sound stopped');
  assert.equal(announcement('reconnecting', open), 'reconnecting');
  assert.equal(announcement('ended', open), 'ended');
});

test('without a microphone the main button looks for one', () => {
  assert.equal(mainStep('listening', null, 'missing')?.act, 'microphone');
  assert.equal(mainStep('ended', { text: '', step: nextStep(4031) }, 'missing')?.act, 'start');
});
