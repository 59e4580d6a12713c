/** What a page shows of a conversation, from the messages of the server and what has played. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { beforeEach, test } from 'node:test';

import { Conversation } from '../../web_client/conversation.js';
import { heardText } from '../../web_client/heard-words.js';
import { savedTranscript } from '../../web_client/saved-transcript.js';

/** @typedef {import('../../web_client/messages.js').ServerMessage} ServerMessage */

const fixture = new URL('../../web_client/protocol.json', import.meta.url);
const examples = JSON.parse(readFileSync(fixture, 'utf8'));

const HEARD = 'Done, I went';
const PLANNED = 'Done, I went forward.';

let conversation = new Conversation();
let seq = 0;

beforeEach(() => {
  conversation = new Conversation();
  take('listening');
});

/**
 * @param {string} type
 * @param {object} [fields]
 */
function take(type, fields = {}) {
  seq += 1;
  conversation.handle(/** @type {ServerMessage} */ ({ type, seq, ...fields }), 1000 * seq);
}

/**
 * @param {number} turn
 * @param {number} samples
 */
function plays(turn, samples, playing = true) {
  conversation.played({ turn, samples, playing });
}

/** @param {number} turn */
function answer(turn, text = 'Hello!', block = 0, stage = 'SPECULATIVE') {
  take('assistant_text', { turn, block, text, stage });
}

/** Return what is saved of the conversation, without heading and times. */
function saved() {
  const record = { beganMs: 0, voice: 'tiffany', server: '', turns: conversation.turns };
  const [, ...lines] = savedTranscript([record], 'text').split('\n\n');
  return lines.join('\n\n').replace(/^\d\d:\d\d:\d\d /gm, '');
}

/** @param {number} index */
function shown(index) {
  const found = conversation.turns.at(index);
  assert.ok(found);
  return found;
}

test('the examples of the server make a conversation', () => {
  for (const message of examples.from_server) conversation.handle(message, 0);
  assert.equal(
    saved(),
    `You: hello.
Tool go {"meters": 10} answered: {"meters": 10}
Picture: A red boat
Assistant: Done, I went [cut off]
`,
  );
});

test('an answer is as planned, until what was spoken replaces it, block by block', () => {
  answer(1, 'Hello! ');
  answer(1, 'How are you?', 1);
  answer(1, 'Hello. ', 0, 'FINAL');
  assert.deepEqual(shown(0).parts, [
    { text: 'Hello. ', stage: 'FINAL' },
    { text: 'How are you?', stage: 'SPECULATIVE' },
  ]);
});

test('the texts of one spoken turn belong together, before its answer', () => {
  answer(1);
  take('user_text', { turn: 1, text: 'go', typed: false });
  take('user_text', { turn: 1, text: 'forward', typed: false });
  assert.deepEqual(
    conversation.turns.map(({ who, parts: [part] }) => [who, part?.text]),
    [
      ['user', 'go forward'],
      ['assistant', 'Hello!'],
    ],
  );
});

test('what changes is replaced, so that a page may compare', () => {
  take('user_text', { turn: 1, text: 'go', typed: true });
  answer(1);
  const before = conversation.turns;
  answer(1, 'Hello.', 0, 'FINAL');
  assert.notEqual(conversation.turns, before);
  assert.equal(conversation.turns[0], before[0]);
  assert.notEqual(conversation.turns[1], before[1]);
});

test('of a cut answer the tail that nobody heard is told apart', () => {
  answer(2, PLANNED);
  take('interrupted', { turn: 2 });
  assert.ok(shown(0).interrupted && shown(0).over);
  take('heard', { turn: 2, heard_ms: 900, heard: 'Done,', planned: PLANNED });
  take('heard', { turn: 2, heard_ms: 1500, heard: HEARD, planned: PLANNED });
  assert.deepEqual([shown(0).heard, shown(0).lost], [HEARD, ' forward.']);
  assert.equal(saved(), 'Assistant: Done, I went [cut off]\n');
});

test('an answer that was cut at its very end was heard whole', () => {
  answer(2, PLANNED);
  take('heard', { turn: 2, heard_ms: 2000, heard: PLANNED, planned: PLANNED });
  assert.ok(!shown(0).interrupted);
  assert.equal(saved(), `Assistant: ${PLANNED}\n`);
});

test('what was heard of a cut answer counts, where the service tells less of it', () => {
  answer(2, PLANNED);
  take('interrupted', { turn: 2 });
  answer(2, 'Done, I', 0, 'FINAL');
  take('heard', { turn: 2, heard_ms: 1500, heard: PLANNED, planned: PLANNED });
  assert.equal(saved(), `Assistant: ${PLANNED}\n`);
});

test('an interruption of nothing shows nothing', () => {
  take('interrupted', { turn: 3 });
  take('heard', { turn: 3, heard_ms: 0, heard: '', planned: '' });
  take('latency', { turn: 3, response_ms: 900 });
  assert.deepEqual(conversation.turns, []);
  assert.equal(conversation.responseMs, 900);
});

test('a tool is shown with what it was asked only where the server tells it', () => {
  take('user_text', { turn: 1, text: 'go', typed: true });
  take('tool_call', { turn: 1, tool_use: 'a', name: 'go' });
  assert.deepEqual(shown(-1).tools, [{ id: 'a', name: 'go', answered: false }]);
  assert.equal(saved(), 'You, typed: go\nTool go did not answer\n');
  take('tool_answered', { turn: 1, tool_use: 'a', name: 'go' });
  assert.equal(saved(), 'You, typed: go\nTool go answered\n');
});

test('a turn is over when it has played, not when it has been sent', () => {
  answer(1);
  take('turn_ended', { turn: 1, samples: 4800 });
  assert.ok(!shown(0).over);
  plays(1, 2400);
  assert.ok(!shown(0).over);
  plays(1, 4800);
  assert.ok(shown(0).over);
});

test('a turn is over, too, when the loudspeaker ran out of what had all come', () => {
  answer(1);
  take('turn_ended', { turn: 1, samples: 4800 });
  conversation.audioReceived({ turn: 1, samples: 2400 });
  plays(1, 2300);
  plays(1, 2300, false);
  assert.ok(!shown(0).over, 'more is to come: the network was slow');
  conversation.audioReceived({ turn: 1, samples: 4800 });
  plays(1, 2400);
  plays(1, 4700, false);
  assert.ok(shown(0).over, 'the rest is what the device is late by');
});

test('a short answer that has come whole is not over before it has begun to sound', () => {
  answer(1);
  conversation.audioReceived({ turn: 1, samples: 4800 });
  take('turn_ended', { turn: 1, samples: 4800 });
  assert.ok(!shown(0).over);
});

test('a turn of which the end is told late is over at once', () => {
  answer(1);
  conversation.audioReceived({ turn: 1, samples: 4800 });
  plays(1, 4000);
  plays(1, 4800, false);
  assert.ok(!shown(0).over);
  take('turn_ended', { turn: 1, samples: 4800 });
  assert.ok(shown(0).over);
});

test('the page hears, thinks, calls a tool, speaks and listens', () => {
  const told = new Conversation();
  assert.equal(told.activity, 'connecting');
  /** @type {[activity: string, step: () => void][]} */
  const story = [
    ['listening', () => {}],
    ['hearing', () => take('user_speech_started', { offset_ms: 0 })],
    ['thinking', () => take('user_speech_ended', { offset_ms: 900, detected_ms: 1500 })],
    ['thinking', () => take('user_text', { turn: 1, text: 'go', typed: false })],
    ['tool', () => take('tool_call', { turn: 1, tool_use: 'a', name: 'go' })],
    ['thinking', () => take('tool_answered', { turn: 1, tool_use: 'a', name: 'go' })],
    ['thinking', () => answer(1)],
    ['speaking', () => plays(1, 2400)],
    ['speaking', () => take('turn_ended', { turn: 1, samples: 4800 })],
    ['listening', () => plays(1, 4800, false)],
    ['thinking', () => take('user_text', { turn: 2, text: 'again', typed: true })],
    ['listening', () => take('flush', { epoch: 1 })],
    ['thinking', () => take('user_text', { turn: 2, text: 'again', typed: true })],
    ['speaking', () => plays(2, 100)],
    ['listening', () => plays(2, 100, false)],
    ['speaking', () => plays(2, 150)],
    ['speaking', () => take('user_speech_started', { offset_ms: 5000 })],
    ['hearing', () => plays(2, 200, false)],
    ['hearing', () => take('flush', { epoch: 2 })],
    ['thinking', () => take('user_speech_ended', { offset_ms: 6000, detected_ms: 6500 })],
    ['listening', () => take('turn_ended', { turn: 3, samples: 0 })],
  ];
  for (const [activity, step] of story) {
    step();
    assert.equal(conversation.activity, activity, String(step));
  }
});

test('what a later server says is left aside', () => {
  take('weather', { text: 'rain' });
  assert.deepEqual([conversation.turns, conversation.activity], [[], 'listening']);
});

/**
 * An answer of two blocks, a second each at 1 kHz.
 *
 * @param {number} turn
 */
function answersTwice(turn) {
  const output = { rate_hz: 1000 };
  conversation.handle(/** @type {any} */ ({ type: 'ready', output }), 0);
  take('assistant_text', { turn, block: 0, text: 'One two. ', stage: 'SPECULATIVE', starts_at: 0 });
  take('assistant_text', {
    ...{ turn, block: 1, stage: 'SPECULATIVE', starts_at: 1000 },
    text: 'Three four five six.',
  });
}

/** @type {[name: string, samples: number, text: string][]} */
const ENDS = [
  ['before its first sound', 0, ''],
  ['in its first block', 500, 'Assistant: One [cut off]\n'],
  ['between two blocks', 1000, 'Assistant: One two. [cut off]\n'],
  ['in its second block', 1550, 'Assistant: One two. Three four [cut off]\n'],
  ['at its end', 2000, 'Assistant: One two. Three four five six.\n'],
];

for (const [name, samples, text] of ENDS) {
  test(`a conversation that ends ${name} keeps the words of an answer that were heard`, () => {
    answersTwice(1);
    conversation.audioReceived({ turn: 1, samples: 2000 });
    take('turn_ended', { turn: 1, samples: 2000 });
    if (samples) plays(1, samples);
    conversation.end();
    assert.equal(saved(), text);
    assert.equal(conversation.activity, 'listening');
    const { heard, lost, interrupted } = shown(0);
    assert.equal(interrupted, samples < 2000);
    if (interrupted) assert.equal(heard + lost, 'One two. Three four five six.');
  });
}

test('an answer whose sound has not all come is cut by the pace of speech', () => {
  answersTwice(1);
  conversation.audioReceived({ turn: 1, samples: 1400 });
  plays(1, 1400); // of 20 characters in 1.3 s
  conversation.end();
  assert.equal(saved(), 'Assistant: One two. Three [cut off]\n');
});

test('the end leaves alone what was heard, and what the server has cut', () => {
  answer(1, 'Hello!');
  take('turn_ended', { turn: 1, samples: 100 });
  plays(1, 100, false);
  answer(2, PLANNED);
  take('heard', { turn: 2, heard_ms: 1500, heard: HEARD, planned: PLANNED });
  answer(3, 'Never heard.');
  conversation.end();
  conversation.end();
  assert.equal(
    saved(),
    'Assistant: Hello!\nAssistant: Done, I went [cut off]\n',
  );
});

test('an interruption of which nobody told what was heard is cut at the end', () => {
  answersTwice(1);
  plays(1, 500);
  take('interrupted', { turn: 1 });
  conversation.end();
  assert.equal(saved(), 'Assistant: One [cut off]\n');
});

test('while the server connects to the voice service again, the page says so', () => {
  take('user_speech_started', { offset_ms: 100 });
  take('reconnecting', { attempt: 1, retry_in_s: 0 });
  assert.equal(conversation.activity, 'recovering');
  take('reconnecting', { attempt: 2, retry_in_s: 0.5 });
  take('renewed', { gap_ms: 700, replayed_ms: 300 });
  assert.equal(conversation.activity, 'listening');
});

test('an answer that is still playing plays on while the server connects again', () => {
  answer(1);
  plays(1, 2400);
  take('reconnecting', { attempt: 1, retry_in_s: 0 });
  assert.equal(conversation.activity, 'speaking');
  plays(1, 4800, false);
  assert.equal(conversation.activity, 'recovering');
});

test('a service that is busy at the opening is still being connected to', () => {
  conversation = new Conversation();
  take('reconnecting', { attempt: 1, retry_in_s: 2 });
  assert.equal(conversation.activity, 'connecting');
  take('listening');
  assert.equal(conversation.activity, 'listening');
});

test('the words of an answer light up as its sound is heard, and never go out', () => {
  answersTwice(1);
  conversation.audioReceived({ turn: 1, samples: 2000 });
  take('turn_ended', { turn: 1, samples: 2000 });
  const text = 'One two. Three four five six.';
  const heard = [0, 500, 1000, 1550, 1000, 1999, 2000].map((samples) => {
    plays(1, samples);
    return text.slice(0, shown(0).over ? text.length : shown(0).heardLength);
  });
  assert.deepEqual(heard, [
    '',
    'One',
    'One two. ',
    'One two. Three four',
    'One two. Three four',
    text,
    text,
  ]);
});

test('an answer was heard when a later one is playing', () => {
  answer(1, 'One two.');
  plays(1, 100);
  answer(2, 'Three.');
  plays(2, 100);
  assert.ok(shown(0).over);
  assert.equal(saved(), 'Assistant: One two.\n');
});

test('the blocks of an answer are joined as the server joins them', () => {
  for (const { blocks, text } of examples.joined) {
    const parts = blocks.map((/** @type {string} */ block) => ({ text: block, stage: 'FINAL' }));
    answer(1);
    const turn = { ...shown(0), parts, over: true };
    assert.equal(heardText(turn).heard.trim(), text);
  }
});

test('words are lit across a space that the service has left out', () => {
  const blocks = ['One moment.', 'It is ten.'];
  blocks.forEach((text, block) =>
    take('assistant_text', { turn: 1, block, text, stage: 'SPECULATIVE', starts_at: block * 1000 }),
  );
  take('turn_ended', { turn: 1, samples: 2000 });
  plays(1, 1000);
  assert.equal(heardText(shown(0)).heard.trim(), 'One moment.');
  plays(1, 1999);
  assert.equal(heardText(shown(0)).heard, 'One moment. It is ten.');
});

test('a running tool shows its newest report, then that its result waits', () => {
  take('tool_call', { turn: 1, tool_use: 'a', name: 'find' });
  take('tool_call', { turn: 1, tool_use: 'b', name: 'go' });
  take('tool_progress', { turn: 1, tool_use: 'a', name: 'find', text: 'One of two.' });
  take('tool_progress', { turn: 1, tool_use: 'a', name: 'find', text: 'Two of two.' });
  const reported = shown(0).tools.map(({ progress, held }) => [progress, held]);
  assert.deepEqual(reported, [['Two of two.', undefined], [undefined, undefined]]);
  take('tool_held', { turn: 1, tool_use: 'a', name: 'find' });
  assert.equal(shown(0).tools[0]?.held, true);
});
