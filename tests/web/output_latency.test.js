import assert from 'node:assert/strict';
import { test } from 'node:test';

import { outputLatencyS } from '../../web_client/audio/output-latency.js';

const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0';
const CHROMIUM = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36';

test('Firefox on Linux is not asked for the latency of the device', () => {
  const context = {
    baseLatency: 0.005,
    /** @returns {number} */
    get outputLatency() {
      throw new Error('this may hang the page');
    },
  };
  assert.equal(outputLatencyS(context, FIREFOX), 0.005);
  assert.throws(() => outputLatencyS(context, CHROMIUM));
});

test('the latency is what the browser knows of it', () => {
  assert.equal(outputLatencyS({ baseLatency: 0.005, outputLatency: 0.2 }, CHROMIUM), 0.2);
  assert.equal(outputLatencyS({ baseLatency: 0.005, outputLatency: 0 }, CHROMIUM), 0.005);
  assert.equal(outputLatencyS({}, CHROMIUM), 0);
});
