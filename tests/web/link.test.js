/** One conversation over as many connections as it takes, without a socket and without a clock. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLOSES, LOST, UNREACHABLE } from '../../web_client/closing.js';
import * as limits from '../../web_client/link-limits.js';
import { Link } from '../../web_client/link.js';

/** @typedef {import('../../web_client/link-effects.js').Effect} Effect */

const FRAME_SAMPLES = 320;
const FRAMES_PER_S = 50;
const CONGESTED_BYTES = 16_000;
const BURST_BYTES = 160_000;

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

/** Without anything coming, and the connection is lost. */
const SILENT_MS = 1000 * READY.alive_s * limits.SIGNS_MISSED;

/**
 * @param {Link} link
 * @param {object} message
 */
function hear(link, message, nowMs = 0) {
  return link.received(JSON.stringify(message), nowMs);
}

/** @param {object} [ready] */
function talking(ready = READY) {
  const link = new Link({ voice: 'tiffany' });
  link.begin();
  link.opening(0);
  link.opened('token');
  hear(link, ready);
  return link;
}

/**
 * An answer frame of 24 samples.
 *
 * @param {{ epoch?: number, turn?: number, start?: number }} where
 */
function answer({ epoch = 0, turn = 1, start = 0 }) {
  const frame = new DataView(new ArrayBuffer(60));
  frame.setUint8(0, 2);
  frame.setUint16(2, epoch, true);
  frame.setUint32(4, turn, true);
  frame.setUint32(8, start, true);
  return frame.buffer;
}

/** What is sent as text. @param {Effect[]} effects */
function said(effects) {
  return effects.flatMap((effect) =>
    effect.do === 'send' && typeof effect.frame === 'string' ? [JSON.parse(effect.frame)] : [],
  );
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

/**
 * Fail every attempt, and give the times at which they were made.
 *
 * @param {Link} link
 */
function attempts(link) {
  const timesMs = [];
  while (link.dueMs < Infinity) {
    const nowMs = link.dueMs;
    assert.deepEqual(names(link.tick(nowMs)), ['open']);
    timesMs.push(nowMs);
    link.opening(nowMs);
    link.closed(1006, '', nowMs);
  }
  return timesMs;
}

const voice = new Int16Array(FRAME_SAMPLES).fill(1);

test('a conversation begins with a hello', () => {
  const link = new Link({ voice: 'tiffany', language: 'en' });
  assert.deepEqual(link.begin(), [{ do: 'open', fresh: true }]);
  link.opening(0);
  const hello = { type: 'hello', version: 1, token: 'token', voice: 'tiffany', language: 'en' };
  assert.deepEqual(said(link.opened('token')), [hello]);
  assert.equal(link.phase, 'connecting');
  const effects = hear(link, READY);
  assert.deepEqual(names(effects), ['flush', 'deliver']);
  assert.deepEqual([link.phase, link.dueMs], ['talking', SILENT_MS]);
});

test('a server that cannot be reached is not tried for half a minute', () => {
  const link = new Link();
  link.begin();
  link.opening(0);
  assert.equal(ending(link.closed(1006, '', 100)), UNREACHABLE);
});

test('a socket that opens and says nothing is given up', () => {
  const link = new Link();
  link.begin();
  assert.equal(link.dueMs, Infinity, 'permission and token take as long as they take');
  link.opening(1000);
  link.opened('');
  assert.equal(link.dueMs, 1000 + limits.ATTEMPT_MS);
  assert.equal(ending(link.tick(link.dueMs)), UNREACHABLE);
});

test('a lost conversation is resumed where it was', () => {
  const link = talking();
  hear(link, { type: 'listening', seq: 1 });
  hear(link, { type: 'weather', seq: 2 });
  link.received(answer({ turn: 1, start: 0 }), 0);
  link.received(answer({ turn: 1, start: 24 }), 0);
  const lost = link.closed(1006, '', 5000);
  assert.deepEqual(notices(lost), ['The connection was lost. Trying again.']);
  assert.equal(link.phase, 'reconnecting');
  assert.deepEqual(link.tick(5250), [{ do: 'open', fresh: false }]);
  link.opening(5250);
  assert.deepEqual(said(link.opened('')), [
    { type: 'hello', version: 1, resume: 'word', seen: 2, received: { turn: 1, samples: 48 } },
  ]);
  const again = hear(link, RESUMED);
  assert.deepEqual(notices(again), ['Connected again. The conversation goes on.']);
  assert.ok(!names(again).includes('flush'), 'what is in the ring sounds on');
  assert.deepEqual(names(hear(link, { type: 'user_speech_started', seq: 3 })), ['deliver']);
});

test('what was told before is not taken twice', () => {
  const link = talking();
  hear(link, { type: 'listening', seq: 1 });
  assert.deepEqual(hear(link, { type: 'listening', seq: 1 }), []);
});

test('it is tried at once, then more and more slowly, for as long as the server keeps it', () => {
  const link = talking();
  link.closed(1006, '', 0);
  const timesMs = attempts(link);
  assert.deepEqual(timesMs.slice(0, 7), [250, 750, 1750, 2750, 3750, 4750, 5750]);
  assert.equal(timesMs.at(-1), 30_000);
  assert.equal(link.phase, 'ended');
});

test('a stored conversation is resumed after its server has stopped', () => {
  const link = talking({ ...READY, stored: true });
  assert.deepEqual(names(link.closed(1001, '', 0)), ['drop', 'notice']);
  assert.equal(link.phase, 'reconnecting');
  assert.deepEqual(link.tick(250), [{ do: 'open', fresh: false }]);
  link.opening(250);
  assert.deepEqual(names(link.closed(1001, '', 300)), ['drop'], 'it is still stopping');
  link.tick(link.dueMs);
  link.opening(800);
  const [{ frame }] = /** @type {any[]} */ (link.opened(''));
  assert.equal(JSON.parse(frame).resume, 'word');
  hear(link, { ...RESUMED, stored: true });
  assert.equal(link.phase, 'talking');
});

test('what does not come back ends in words', () => {
  const link = talking({ ...READY, keep_s: 0.25 });
  link.closed(1006, '', 0);
  link.tick(250);
  link.opening(250);
  assert.equal(ending(link.closed(1006, '', 300)), LOST);
});

test('a second loss has its own time', () => {
  const link = talking();
  link.closed(1006, '', 100);
  link.tick(350);
  hear(link, RESUMED);
  link.closed(1006, '', 60_000);
  assert.deepEqual(attempts(link).slice(0, 2), [60_250, 60_750]);
});

test('a handshake that hangs is left for another', () => {
  const link = talking();
  link.closed(1006, '', 0);
  link.tick(250);
  link.opening(250);
  const dueMs = link.dueMs;
  assert.deepEqual(names(link.tick(dueMs)), ['drop']);
  assert.equal(link.dueMs, dueMs + 500);
});

test('the network is back: nobody waits for the next time', () => {
  const link = talking();
  link.lost(0);
  assert.deepEqual(names(link.retryNow()), ['open']);
  assert.deepEqual(link.retryNow(), [], 'one attempt at a time');
});

test('while talking there is nothing to hurry', () => {
  assert.deepEqual(talking().retryNow(), []);
});

for (const [code, { reason, again }] of CLOSES) {
  test(`${code} ${again ? 'begins another conversation, once' : 'ends it in words'}`, () => {
    const link = talking();
    const effects = link.closed(code, reason, 0);
    if (!again) {
      assert.equal(ending(effects)?.reason, reason);
      assert.equal(link.phase, 'ended');
      return;
    }
    assert.equal(link.phase, 'connecting');
    assert.deepEqual(link.tick(link.dueMs), [{ do: 'open', fresh: true }]);
    assert.ok(!('resume' in said(link.opened('fresh'))[0]));
    assert.deepEqual(notices(hear(link, READY)), [
      'Connected again.',
    ]);
    assert.equal(ending(link.closed(code, reason, 1000))?.reason, reason);
  });
}

test('a server that restarts is waited for', () => {
  const link = talking();
  link.closed(1001, '', 0);
  assert.equal(attempts(link).at(-1), 30_000);
  assert.equal(link.phase, 'ended');
});

test('a conversation that is begun again knows nothing of the one before', () => {
  const link = talking({ ...READY, epoch: 7 });
  hear(link, { type: 'listening', seq: 1 });
  link.received(answer({ epoch: 7, turn: 4 }), 0);
  link.closed(1001, '', 0);
  link.tick(250);
  link.opened('');
  assert.deepEqual(hear(link, READY)[0], { do: 'flush', epoch: 0 });
  assert.deepEqual(names(hear(link, { type: 'listening', seq: 1 })), ['deliver']);
  link.closed(1006, '', 1000);
  link.tick(1250);
  assert.deepEqual(said(link.opened(''))[0].received, { turn: 0, samples: 0 });
});

test('the loudspeaker is flushed before anything else, and older sound is not played', () => {
  const link = talking();
  assert.deepEqual(names(link.received(answer({}), 0)), ['play']);
  assert.deepEqual(names(hear(link, { type: 'flush', epoch: 1, seq: 1 })), ['flush', 'deliver']);
  assert.deepEqual(link.received(answer({ start: 24 }), 0), []);
  assert.deepEqual(names(link.received(answer({ epoch: 1, turn: 2 }), 0)), ['play']);
});

test('sound that is not played has come all the same', () => {
  const link = talking();
  hear(link, { type: 'flush', epoch: 1, seq: 1 });
  link.received(answer({ start: 24 }), 0);
  link.closed(1006, '', 0);
  link.tick(250);
  assert.deepEqual(said(link.opened(''))[0].received, { turn: 1, samples: 48 });
});

test('a flush that was missed is made up for, and its message does not undo a later one', () => {
  const link = talking();
  link.closed(1006, '', 0);
  link.tick(250);
  const effects = hear(link, { ...RESUMED, epoch: 2 });
  assert.deepEqual(effects[0], { do: 'flush', epoch: 2 });
  assert.deepEqual(hear(link, { type: 'flush', epoch: 1, seq: 1 }), []);
  assert.deepEqual(hear(link, { type: 'flush', epoch: 2, seq: 2 }), []);
  assert.deepEqual(names(link.received(answer({ epoch: 2 }), 0)), ['play']);
});

test('what has played is told ten times a second, at the end, and at once after a flush', () => {
  const link = talking();
  const told = [0, 20, 95, 190, 205, 290, 310].filter((ms) => {
    const report = { epoch: 0, turn: 1, samples: ms * 24, playing: true };
    return said(link.played(report, ms)).length;
  });
  assert.deepEqual(told, [0, 95, 190, 290]);
  const end = { epoch: 0, turn: 1, samples: 24_100, playing: false };
  assert.deepEqual(said(link.played(end, 311)), [
    { type: 'played', epoch: 0, turn: 1, samples: 24_100 },
  ]);
  hear(link, { type: 'flush', epoch: 1, seq: 1 });
  assert.deepEqual(link.played(end, 312), [], 'of an older epoch nothing is told');
  assert.equal(said(link.played({ ...end, epoch: 1, playing: true }, 313)).length, 1);
});

test('what played meanwhile is told on resuming: the server waits for it to send more', () => {
  const link = talking();
  link.closed(1006, '', 0);
  const report = { epoch: 0, turn: 1, samples: 120_000, playing: false };
  assert.deepEqual(link.played(report, 100), []);
  link.tick(250);
  assert.deepEqual(said(hear(link, RESUMED)), [
    { type: 'played', epoch: 0, turn: 1, samples: 120_000 },
  ]);
});

test('of what is said without a connection the last second is sent', () => {
  const link = talking();
  link.closed(1006, '', 0);
  for (let index = 0; index < 3 * FRAMES_PER_S; index += 1) {
    assert.deepEqual(link.voice(new Int16Array(FRAME_SAMPLES).fill(index), 0, 20 * index), []);
  }
  link.tick(250);
  const sent = hear(link, RESUMED).flatMap((effect) => {
    if (effect.do !== 'send' || typeof effect.frame === 'string') return [];
    return [new Int16Array(effect.frame)[1]];
  });
  assert.ok(sent.length > 45 && sent.length <= FRAMES_PER_S, String(sent.length));
  assert.equal(sent.at(-1), 3 * FRAMES_PER_S - 1);
  assert.equal(link.droppedFrames, 3 * FRAMES_PER_S - sent.length);
  assert.deepEqual(names(link.voice(voice, 0, 0)), ['send']);
});

test('a socket that is half a second late gets no voice, but every message', () => {
  const link = talking();
  assert.deepEqual(names(link.voice(voice, CONGESTED_BYTES, 1000)), ['send']);
  assert.deepEqual(link.voice(voice, CONGESTED_BYTES + 1, 1000 + limits.BURST_MS), []);
  assert.equal(link.droppedFrames, 1);
  assert.deepEqual(said(link.interrupt()), [{ type: 'interrupt' }]);
  assert.deepEqual(names(link.voice(voice, CONGESTED_BYTES, 1020 + limits.BURST_MS)), ['send']);
});

test('the sound of a page that stood still for seconds is sent at once, and none is lost', () => {
  const link = talking();
  const frames = 4 * FRAMES_PER_S;
  const sent = Array.from({ length: frames }, (_, index) =>
    names(link.voice(voice, index * voice.byteLength, 5000 + index / 10)),
  );
  assert.deepEqual(new Set(sent.flat()), new Set(['send']));
  assert.equal(sent.flat().length, frames);
  assert.equal(link.droppedFrames, 0);
  assert.deepEqual(link.voice(voice, 2 * BURST_BYTES, 5020), [], 'the memory is bounded');
});

test('a connection on which nothing comes any more is lost, without a word of the browser', () => {
  const link = talking();
  hear(link, { type: 'alive' }, 2000);
  assert.deepEqual(link.tick(1999 + SILENT_MS), []);
  const effects = link.tick(2000 + SILENT_MS);
  assert.deepEqual(names(effects), ['drop', 'notice']);
  assert.equal(link.phase, 'reconnecting');
  assert.deepEqual(link.tick(link.dueMs), [{ do: 'open', fresh: false }]);
});

test('whatever comes is a sign of life, even on a resumed connection', () => {
  const link = talking();
  link.closed(1006, '', 0);
  link.tick(250);
  hear(link, RESUMED, 1000);
  assert.equal(link.dueMs, 1000 + SILENT_MS);
  link.received(answer({}), 2000);
  assert.equal(link.dueMs, 2000 + SILENT_MS);
});

test('of a server that gives no sign of life none is missed', () => {
  const link = talking({ ...READY, alive_s: undefined });
  hear(link, { type: 'listening', seq: 1 }, 1000);
  assert.equal(link.dueMs, Infinity);
});

test('what has no number is left aside, known or not, and is not what was seen', () => {
  const link = talking();
  hear(link, { type: 'listening', seq: 1 });
  const unnumbered = [{ type: 'alive' }, { type: 'weather' }];
  for (const message of unnumbered) assert.deepEqual(hear(link, message), []);
  link.closed(1006, '', 0);
  link.tick(250);
  assert.equal(said(link.opened(''))[0].seen, 1);
});

test('what cannot be read ends it, and the server does not keep it', () => {
  for (const frame of ['not JSON', new ArrayBuffer(3)]) {
    const effects = talking().received(frame, 0);
    assert.deepEqual(names(effects), ['close', 'drop', 'end']);
    assert.equal(ending(effects)?.code, 4000);
  }
});

test('the goodbye is said where there is somebody to hear it', () => {
  const link = talking();
  const effects = link.leave();
  assert.deepEqual(said(effects), [{ type: 'bye' }]);
  assert.deepEqual(names(effects), ['send', 'close', 'drop', 'end']);
  assert.equal(ending(effects)?.code, 1000);
  assert.deepEqual(link.leave(), []);
  assert.deepEqual(link.voice(voice, 0, 0), []);

  const alone = talking();
  alone.lost(0);
  assert.deepEqual(names(alone.leave()), ['drop', 'end']);
});

test('a typed turn that cannot be sent is the writer’s to keep', () => {
  const link = talking();
  assert.deepEqual(said(link.say('Hello.')), [{ type: 'say', text: 'Hello.' }]);
  assert.throws(() => link.say('  '), { hint: 'Write up to 2,000 characters.' });
  link.lost(0);
  assert.throws(() => link.say('Hello.'), { hint: 'Send it again when there is.' });
});

test('a sentence of the server is shown', () => {
  const notice = { type: 'notice', text: 'This cannot be done just now.', seq: 1 };
  assert.deepEqual(notices(hear(talking(), notice)), [notice.text]);
});

test('a lost voice service is told once, and that it is back', () => {
  const link = talking();
  const told = [
    { type: 'reconnecting', attempt: 1, retry_in_s: 0, seq: 1 },
    { type: 'reconnecting', attempt: 2, retry_in_s: 1, seq: 2 },
    { type: 'renewed', gap_ms: 1200, replayed_ms: 300, seq: 3 },
  ].map((message) => hear(link, message));
  assert.deepEqual(told.map(names), [['deliver', 'notice'], ['deliver'], ['deliver', 'notice']]);
  assert.deepEqual(told.flatMap(notices), [
    'The voice service cannot be reached just now. What you say is kept.',
    'The voice service is back. The conversation goes on.',
  ]);
  assert.equal(link.phase, 'talking');
});
