/** A saved transcript: what was heard, with times, in each format. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { savedTranscript } from '../../web_client/saved-transcript.js';

/** @typedef {import('../../web_client/conversation.js').Turn} Turn */

process.env.TZ = 'UTC';
const BEGAN_MS = Date.UTC(2026, 2, 9, 9, 5, 7);

/** @param {Partial<Turn>} more @returns {Turn} */
function turn(more) {
  const nothing = { parts: [], tools: [], heardLength: 0, heard: '', lost: '', responseMs: null };
  const flags = { typed: false, interrupted: false, over: true };
  return { number: 1, who: 'user', atMs: BEGAN_MS + 3000, ...flags, ...nothing, ...more };
}

const FINAL = /** @type {const} */ ('FINAL');
const RECORD = {
  beganMs: BEGAN_MS,
  voice: 'tiffany',
  server: 'wss://one/talk',
  turns: [
    turn({ parts: [{ text: 'Buy *two*\ntickets_ [now]', stage: FINAL }], typed: true }),
    turn({
      who: 'assistant',
      parts: [{ text: 'Done, I went forward.', stage: FINAL }],
      tools: [{ id: 'a', name: 'buy', argumentsJson: '{"n": 2}', resultJson: '7', answered: true }],
      ...{ interrupted: true, heard: 'Done,', lost: ' I went forward.', responseMs: 900 },
    }),
    turn({ who: 'assistant', parts: [{ text: 'Never heard.', stage: FINAL }], over: false }),
  ],
};

test('as text, each line has its time, and nothing that was not heard', () => {
  assert.equal(
    savedTranscript([RECORD], 'text'),
    `Conversation of 2026-03-09 09:05:07

09:05:10 You, typed: Buy *two* tickets_ [now]
09:05:10 Tool buy {"n": 2} answered: 7
09:05:10 Assistant: Done, [cut off]
`,
  );
});

test('as Markdown, what was said has no effect on the layout', () => {
  const saved = savedTranscript([RECORD, RECORD], 'markdown');
  assert.match(saved, /^## Conversation of 2026-03-09 09:05:07\n\n/);
  assert.ok(saved.includes('- 09:05:10 **You, typed:** Buy \\*two\\* tickets\\_ \\[now\\]\n'));
  assert.ok(saved.includes('- 09:05:10 **Assistant:** Done, [cut off]\n'));
  assert.equal(saved.match(/^## /gm)?.length, 2);
});

test('as JSON, times are in UTC, and arguments are values', () => {
  const saved = JSON.parse(savedTranscript([{ ...RECORD, turns: [] }, RECORD], 'json'));
  assert.equal(saved.conversations.length, 1);
  const [{ began, voice, turns }] = saved.conversations;
  assert.deepEqual([began, voice], ['2026-03-09T09:05:07.000Z', 'tiffany']);
  assert.deepEqual(turns[1], {
    at: '2026-03-09T09:05:10.000Z',
    speaker: 'assistant',
    typed: false,
    text: 'Done,',
    cut_off: true,
    response_ms: 900,
    tools: [{ name: 'buy', answered: true, arguments: { n: 2 }, result: 7 }],
  });
  assert.equal(turns[2].text, '');
});
