/** The devices of a client: opened together, replaced one by one, and never left open. */

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { Sound } from '../../web_client/sound.js';

/** A device of either kind. */
class Device {
  /** @type {Device[]} */
  static open = [];
  /** @type {(() => void) | null} */
  onended = null;

  /**
   * @param {string} kind
   * @param {{ deviceId?: string, rateHz?: number }} options
   */
  constructor(kind, { deviceId, rateHz }) {
    this.name = `${kind} '${deviceId}' at ${rateHz} Hz`;
    Device.open.push(this);
  }

  level() {
    return 0;
  }

  wave() {}
  play() {}
  flush() {}
  async setDevice() {}

  async close() {
    Device.open = Device.open.filter((device) => device !== this);
  }
}

/** Who opens devices, until a test has them refused. @param {string} kind */
function opens(kind) {
  return { open: async (/** @type {object} */ options) => new Device(kind, options) };
}

/** An error as those of the devices are. */
class Refused extends Error {
  hint = 'Allow it.';
}

const REFUSED = { open: () => Promise.reject(new Refused('Refused.')) };
const wanted = new AbortController().signal;

/** @type {{ Microphone: any, Loudspeaker: any }} */
let deviceClasses;
/** The sentences that the user was told. @type {string[]} */
let told;
/** @type {Sound} */
let sound;

beforeEach(() => {
  Device.open = [];
  deviceClasses = { Microphone: opens('microphone'), Loudspeaker: opens('loudspeaker') };
  told = [];
  const onChange = (/** @type {string} */ text) => void (text && told.push(text));
  sound = new Sound({ onSamples: () => {}, onPlayed: () => {}, onChange }, deviceClasses);
});

function names() {
  return Device.open.map(({ name }) => name);
}

test('both are opened once, and closed together', async () => {
  await sound.open(wanted);
  const { microphone } = sound;
  await sound.open(wanted);
  assert.equal(sound.microphone, microphone);
  assert.deepEqual(names(), ["microphone '' at 16000 Hz", "loudspeaker '' at 24000 Hz"]);
  await sound.close();
  assert.deepEqual([names(), sound.microphone, sound.loudspeaker], [[], null, null]);
});

test('a loudspeaker that fails leaves no microphone open', async () => {
  deviceClasses.Loudspeaker = REFUSED;
  await assert.rejects(sound.open(wanted), { message: 'Refused.' });
  assert.deepEqual([names(), sound.microphone], [[], null]);
});

test('what nobody wants any more as it opens is not kept', async () => {
  const unwanted = new AbortController();
  const opened = sound.open(unwanted.signal);
  unwanted.abort();
  await opened;
  assert.deepEqual([names(), sound.loudspeaker], [[], null]);
});

test('devices can be chosen before there are any', async () => {
  await sound.use({ input: 'usb', output: 'hall' });
  assert.deepEqual(names(), []);
  await sound.open(wanted);
  assert.deepEqual(names(), ["microphone 'usb' at 16000 Hz", "loudspeaker 'hall' at 24000 Hz"]);
});

test('another microphone takes the place of the one before', async () => {
  await sound.open(wanted);
  await sound.use({ input: 'usb' });
  assert.deepEqual(names(), ["loudspeaker '' at 24000 Hz", "microphone 'usb' at 16000 Hz"]);
});

test('a device that cannot be had leaves the one before, and the choice', async () => {
  const { Microphone } = deviceClasses;
  const open = (/** @type {{ deviceId: string }} */ options) =>
    (options.deviceId === 'usb' ? REFUSED : Microphone).open(options);
  deviceClasses.Microphone = { open };
  await sound.open(wanted);
  const { microphone } = sound;
  await assert.rejects(sound.use({ input: 'usb' }), { message: 'Refused.' });
  assert.equal(sound.microphone, microphone);
  await sound.close();
  await sound.open(wanted);
  assert.equal(names()[0], "microphone '' at 16000 Hz");
});

test('a microphone that is had only after the end is let go', async () => {
  await sound.open(wanted);
  const replaced = sound.use({ input: 'usb' });
  await sound.close();
  await replaced;
  assert.deepEqual([names(), sound.microphone], [[], null]);
});

test('a microphone that vanishes is replaced by the default one', async () => {
  await sound.use({ input: 'usb' });
  await sound.open(wanted);
  sound.microphone?.onended?.();
  await new Promise(setImmediate);
  assert.deepEqual(names(), ["loudspeaker '' at 24000 Hz", "microphone '' at 16000 Hz"]);
  assert.deepEqual(told, ['The microphone is gone. The default one is used now.']);
});

test('without any microphone the loudspeaker sounds on', async () => {
  await sound.open(wanted);
  deviceClasses.Microphone = REFUSED;
  sound.microphone?.onended?.();
  await new Promise(setImmediate);
  assert.equal(sound.microphone, null);
  assert.ok(sound.loudspeaker);
  assert.deepEqual(told, ['The microphone is gone. Refused. Allow it.']);
  assert.equal(sound.state.input, 'missing');
});

test('other rates have both opened anew, the same ones neither', async () => {
  await sound.open(wanted);
  const { microphone } = sound;
  await sound.useRates({ inputHz: 16_000, outputHz: 24_000 }, wanted);
  assert.equal(sound.microphone, microphone);
  await sound.useRates({ inputHz: 8000, outputHz: 24_000 }, wanted);
  assert.deepEqual(names(), ["microphone '' at 8000 Hz", "loudspeaker '' at 24000 Hz"]);
});

test('without a microphone the loudspeaker is opened alone, and one may follow', async () => {
  const classes = deviceClasses;
  classes.Microphone = REFUSED;
  await sound.open(wanted);
  assert.deepEqual(names(), ["loudspeaker '' at 24000 Hz"]);
  assert.deepEqual(told, ['Refused. Allow it. Until then you can type, and hear the answers.']);
  assert.equal(sound.state.input, 'missing');
  classes.Microphone = opens('microphone');
  await sound.use({ input: '' });
  assert.deepEqual(names(), ["loudspeaker '' at 24000 Hz", "microphone '' at 16000 Hz"]);
  assert.deepEqual([sound.state.input, told[1]], ['open', 'The microphone is there now.']);
});

test('without microphone and loudspeaker the reason is that of the microphone', async () => {
  deviceClasses.Microphone = REFUSED;
  deviceClasses.Loudspeaker = { open: () => Promise.reject(new Error('no sound')) };
  await assert.rejects(sound.open(wanted), { message: 'Refused.' });
});

test('a microphone that the system mutes is told, and that it is back', async () => {
  await sound.open(wanted);
  const muted = (/** @type {boolean} */ now) => sound.microphone?.onmuted?.(now);
  muted(true);
  assert.equal(sound.state.input, 'muted');
  muted(true);
  muted(false);
  assert.equal(sound.state.input, 'open');
  assert.equal(told.length, 2);
  assert.match(told[0] ?? '', /^The system or the device has muted the microphone/);
});
