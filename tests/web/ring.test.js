import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Prebuffer } from '../../web_client/audio/prebuffer.js';
import { PlayoutRing, isOlder } from '../../web_client/audio/ring.js';

const RATE_HZ = 24000;
const MS = RATE_HZ / 1000;
const FADE = 4 * MS;
/** One step of the fade of a full-scale wave is smaller: pi / 2 / 96. */
const NO_CLICK = 0.017;

/** A ring that never waits. */
const eager = () => new PlayoutRing(RATE_HZ, new Prebuffer(0, 0));

/** @param {number} samples @param {number} [value] */
const flat = (samples, value = 16384) => new Int16Array(samples).fill(value);

/** @param {number} samples */
const counting = (samples) => Int16Array.from({ length: samples }, (_, i) => (i * 7) % 30000);

/**
 * @param {PlayoutRing} ring
 * @param {Partial<import('../../web_client/audio/ring.js').Frame>} frame
 */
function play(ring, frame) {
  ring.play({ epoch: 0, turn: 1, start: 0, samples: flat(1000), ...frame });
}

/** @param {PlayoutRing} ring @param {number} count */
function pulled(ring, count) {
  const into = new Float32Array(count).fill(NaN);
  ring.pull(into, count);
  return into;
}

/** @param {PlayoutRing} ring */
const position = ({ epoch, turn, samples }) => ({ epoch, turn, samples });

/** @param {Float32Array} sound */
function largestStep(sound) {
  let largest = 0;
  for (let i = 1; i < sound.length; i++) {
    largest = Math.max(largest, Math.abs((sound[i] ?? 0) - (sound[i - 1] ?? 0)));
  }
  return largest;
}

/** @param {...Float32Array} parts */
const joined = (...parts) => Float32Array.from(parts.flatMap((part) => [...part]));

describe('sound', () => {
  test('what is put in comes out to the bit, in pulls of any size, but for the last 4 ms', () => {
    const ring = eager();
    const samples = counting(6000);
    play(ring, { samples: samples.subarray(0, 2500) });
    play(ring, { start: 2500, samples: samples.subarray(2500) });
    const out = joined(...[1, 128, 500, 3000, 2371].map((count) => pulled(ring, count)));
    const whole = Float32Array.from(samples, (sample) => sample / 32768);
    assert.deepEqual(out.slice(0, 6000 - FADE), whole.slice(0, 6000 - FADE));
    assert.equal(out[5999], 0);
  });

  test('the ring goes round', () => {
    const ring = eager();
    const samples = counting(5000);
    for (let start = 0; start < 500000; start += 5000) {
      play(ring, { start, samples });
      if (start > 0) assert.equal(pulled(ring, 5000)[2000], (samples[2000] ?? 0) / 32768);
    }
    assert.equal(ring.underruns, 0);
  });

  test('eight seconds fit in; what comes then is dropped and counted, and the rest is kept', () => {
    const ring = eager();
    for (let s = 0; s < 9; s++) play(ring, { start: s * RATE_HZ, samples: flat(RATE_HZ, s + 1) });
    assert.equal(ring.pending, 8 * RATE_HZ);
    assert.equal(ring.dropped, RATE_HZ);
    assert.equal(pulled(ring, 100)[99], 1 / 32768);
  });

  test('with nothing to play there is silence', () => {
    assert.deepEqual(pulled(eager(), 128), new Float32Array(128));
  });
});

describe('positions', () => {
  test('count the samples of the turn that went out', () => {
    const ring = eager();
    assert.deepEqual(position(ring), { epoch: 0, turn: 0, samples: 0 });
    play(ring, { epoch: 3, turn: 5 });
    pulled(ring, 128);
    assert.deepEqual(position(ring), { epoch: 3, turn: 5, samples: 128 });
    pulled(ring, 2000);
    assert.deepEqual(position(ring), { epoch: 3, turn: 5, samples: 1000 });
  });

  test('go from turn to turn without a gap', () => {
    const ring = eager();
    play(ring, { turn: 1 });
    play(ring, { turn: 2 });
    pulled(ring, 1100);
    assert.deepEqual(position(ring), { epoch: 0, turn: 2, samples: 100 });
    assert.equal(ring.underruns, 0);
  });

  test('jump with `start`', () => {
    const ring = eager();
    play(ring, {});
    play(ring, { start: 5000 });
    pulled(ring, 1200);
    assert.deepEqual(position(ring), { epoch: 0, turn: 1, samples: 5200 });
  });

  test('begin where a resumed turn begins', () => {
    const ring = eager();
    play(ring, { turn: 4, start: 72000 });
    pulled(ring, 10);
    assert.deepEqual(position(ring), { epoch: 0, turn: 4, samples: 72010 });
  });

  test('stay where they are in a gap', () => {
    const ring = eager();
    play(ring, {});
    pulled(ring, 3000);
    play(ring, { start: 1000 });
    pulled(ring, 50);
    assert.deepEqual(position(ring), { epoch: 0, turn: 1, samples: 1050 });
  });
});

describe('a flush', () => {
  test('leaves 4 ms that fall to nothing, and then silence', () => {
    const ring = eager();
    play(ring, { samples: flat(48000, 32767) });
    const before = pulled(ring, 480);
    ring.flush(1);
    assert.equal(ring.pending, FADE);
    const after = pulled(ring, 480);
    assert.ok(largestStep(joined(before, after)) < NO_CLICK);
    assert.deepEqual(after.slice(FADE), new Float32Array(480 - FADE));
    assert.equal(ring.pending, 0);
  });

  test('counts what fell silent as heard, and no more', () => {
    const ring = eager();
    play(ring, { samples: flat(48000) });
    pulled(ring, 480);
    ring.flush(1);
    pulled(ring, 480);
    assert.deepEqual(position(ring), { epoch: 0, turn: 1, samples: 480 + FADE });
  });

  test('repeated in the middle of its fade changes nothing', () => {
    const [ring, once] = [eager(), eager()];
    for (const each of [ring, once]) {
      play(each, { samples: flat(48000) });
      pulled(each, 480);
      each.flush(1);
      pulled(each, 30);
    }
    ring.flush(2);
    assert.deepEqual(pulled(ring, 200), pulled(once, 200));
  });

  test('takes away what has not begun to sound', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(100, 100));
    play(ring, { samples: flat(480) });
    pulled(ring, 128);
    ring.flush(1);
    assert.equal(ring.pending, 0);
    assert.deepEqual(pulled(ring, 9600), new Float32Array(9600));
  });

  test('drops frames of older epochs and takes those of its own', () => {
    const ring = eager();
    ring.flush(7);
    play(ring, { epoch: 6 });
    assert.equal(ring.pending, 0);
    play(ring, { epoch: 7 });
    assert.equal(ring.pending, 1000);
  });

  test('is no underrun, though the same turn goes on', () => {
    const ring = eager();
    play(ring, { samples: flat(48000) });
    pulled(ring, 480);
    ring.flush(1);
    pulled(ring, 4800);
    play(ring, { epoch: 1, start: 30000 });
    pulled(ring, 480);
    assert.equal(ring.underruns, 0);
    assert.deepEqual(position(ring), { epoch: 1, turn: 1, samples: 30480 });
  });

  test('after a gap makes no underrun of what goes on', () => {
    const ring = eager();
    play(ring, {});
    pulled(ring, 2000);
    ring.flush(1);
    play(ring, { epoch: 1, start: 1000 });
    pulled(ring, 480);
    assert.equal(ring.underruns, 0);
  });

  test('ends a turn, though the next frame goes on where the fade ends', () => {
    const ring = eager();
    play(ring, { samples: flat(48000) });
    pulled(ring, 480);
    ring.flush(1);
    play(ring, { epoch: 1, start: 480 + FADE });
    assert.equal(pulled(ring, FADE)[FADE - 1], 0);
    pulled(ring, 480);
    assert.deepEqual(position(ring), { epoch: 1, turn: 1, samples: 960 + FADE });
  });

  test('forgets how long a turn has waited', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 40));
    play(ring, { samples: flat(20 * MS) });
    pulled(ring, 30 * MS);
    ring.flush(1);
    play(ring, { epoch: 1, turn: 2, samples: flat(20 * MS) });
    assert.deepEqual(pulled(ring, 40 * MS), new Float32Array(40 * MS));
    assert.equal(pulled(ring, 128)[0], 0.5);
  });

  test('has the next turn wait for its prebuffer, though the fade still sounds', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 40));
    play(ring, { samples: flat(48000) });
    pulled(ring, 480);
    ring.flush(1);
    play(ring, { epoch: 1, turn: 2, samples: flat(20 * MS) });
    const after = pulled(ring, 30 * MS);
    assert.deepEqual(after.slice(FADE), new Float32Array(30 * MS - FADE));
    play(ring, { epoch: 1, turn: 2, start: 20 * MS, samples: flat(20 * MS) });
    assert.equal(pulled(ring, 1)[0], 0.5);
    assert.deepEqual(position(ring), { epoch: 1, turn: 2, samples: 1 });
  });

  test('comes by itself with a frame of a newer epoch', () => {
    const ring = eager();
    play(ring, { samples: flat(48000) });
    pulled(ring, 480);
    play(ring, { epoch: 1, turn: 2, samples: flat(100) });
    assert.equal(ring.pending, FADE + 100);
  });
});

test('an epoch is older if it lies up to half of 65,536 back', () => {
  assert.equal(isOlder(6, 7), true);
  assert.equal(isOlder(7, 7), false);
  assert.equal(isOlder(8, 7), false);
  assert.equal(isOlder(65535, 0), true);
  assert.equal(isOlder(0, 65535), false);
  assert.equal(isOlder(2, 65534), false);
  assert.equal(isOlder(0, 32768), true);
  assert.equal(isOlder(0, 32769), false);
});

test('the first epoch may be any', () => {
  const ring = eager();
  play(ring, { epoch: 50000 });
  assert.equal(ring.pending, 1000);
});

describe('no click', () => {
  test('where the sound runs dry, nor where it goes on', () => {
    const ring = eager();
    play(ring, { samples: flat(2400, 32767) });
    const parts = [pulled(ring, 4800)];
    play(ring, { start: 2400, samples: flat(2400, 32767) });
    parts.push(pulled(ring, 4800));
    const sound = joined(...parts);
    assert.equal(Math.max(...sound.subarray(4800)), 32767 / 32768);
    assert.ok(largestStep(sound) < NO_CLICK);
  });

  test('where a turn ends that is shorter than the fade', () => {
    const ring = eager();
    play(ring, { samples: flat(40, 32767) });
    const sound = pulled(ring, 128);
    assert.equal(sound[39], 0);
    assert.ok(largestStep(sound) < 3 * NO_CLICK, '96 steps down in 40');
  });

  test('where `start` jumps', () => {
    const ring = eager();
    play(ring, { samples: flat(2400, 32767) });
    play(ring, { start: 9600, samples: flat(2400, -32768) });
    assert.ok(largestStep(pulled(ring, 6000)) < NO_CLICK);
  });

  test('where more comes while the level falls already', () => {
    const ring = eager();
    play(ring, { samples: flat(2400, 32767) });
    const parts = [pulled(ring, 2340)];
    play(ring, { start: 2400, samples: flat(2400, 32767) });
    parts.push(pulled(ring, 2460));
    const sound = joined(...parts);
    assert.ok(largestStep(sound) < NO_CLICK);
    assert.equal(ring.underruns, 0);
    assert.equal(sound[3000], 32767 / 32768);
  });
});

describe('the prebuffer', () => {
  test('holds a turn until enough of it waits', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 320));
    play(ring, { samples: flat(30 * MS) });
    assert.equal(pulled(ring, 128)[127], 0);
    play(ring, { start: 30 * MS, samples: flat(10 * MS) });
    assert.equal(pulled(ring, 128)[0], 0.5);
  });

  test('holds a turn that is shorter no longer than that', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 320));
    play(ring, { samples: flat(20 * MS) });
    assert.deepEqual(pulled(ring, 40 * MS), new Float32Array(40 * MS));
    assert.equal(pulled(ring, 128)[0], 0.5);
  });

  test('lets a turn that sounds play out to its end', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 320));
    play(ring, { samples: flat(50 * MS) });
    pulled(ring, 45 * MS);
    assert.equal(ring.sounding, true);
    pulled(ring, 10 * MS);
    assert.deepEqual(position(ring), { epoch: 0, turn: 1, samples: 50 * MS });
    assert.equal(ring.underruns, 0, 'an end is no gap');
  });

  test('grows with a gap, which has the rest of the turn wait for more', () => {
    const ring = new PlayoutRing(RATE_HZ, new Prebuffer(40, 320));
    play(ring, { samples: flat(50 * MS) });
    pulled(ring, 60 * MS);
    play(ring, { start: 50 * MS, samples: flat(70 * MS) });
    assert.deepEqual(pulled(ring, 128), new Float32Array(128));
    assert.equal(ring.underruns, 1);
    play(ring, { start: 120 * MS, samples: flat(10 * MS) });
    assert.ok((pulled(ring, 128)[127] ?? 0) > 0);
    assert.equal(ring.underruns, 1);
  });
});

test('a turn without a gap lets the prebuffer shrink', () => {
  const prebuffer = new Prebuffer(40, 320);
  const ring = new PlayoutRing(RATE_HZ, prebuffer);
  prebuffer.runDry();
  for (const turn of [1, 2]) {
    play(ring, { turn, samples: flat(100 * MS) });
    pulled(ring, 200 * MS);
  }
  assert.equal(prebuffer.ms, 60);
});

test('random frames, flushes and pulls: positions only rise, and the ring never overflows', () => {
  let state = 5;
  const below = (/** @type {number} */ limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const ring = new PlayoutRing(RATE_HZ);
  let [epoch, turn, start] = [65500, 1, 0];
  let before = position(ring);
  for (let step = 0; step < 20000; step++) {
    const what = below(10);
    if (what < 4) {
      const length = below(9000);
      play(ring, { epoch, turn, start, samples: flat(length) });
      start += length + (below(20) === 0 ? below(5000) : 0);
    } else if (what === 4 && below(10) === 0) {
      epoch = (epoch + 1) & 0xffff;
      ring.flush(epoch);
      assert.ok(ring.pending <= FADE);
    } else if (what === 5) {
      [turn, start] = [turn + 1, 0];
    } else {
      const sound = pulled(ring, 1 + below(6000));
      assert.ok(sound.every((sample) => sample >= 0 && sample <= 0.5));
    }
    assert.ok(ring.pending >= 0 && ring.pending <= 8 * RATE_HZ);
    const now = position(ring);
    assert.ok(now.turn >= before.turn);
    assert.ok(now.turn > before.turn || now.samples >= before.samples);
    before = now;
  }
});
