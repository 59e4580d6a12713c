/**
 * Holds a conversation on the page in Debian's Firefox, over WebDriver BiDi.
 *
 *     node firefox.mjs /usr/bin/firefox-esr http://localhost:8080/
 *
 * It writes a line of JSON for each step, and at the end what the page shows: `{step: 'listening'}`
 * when it is to be spoken to, and `{step: 'done', ...}`. Microphone and loudspeaker are those of
 * the machine.
 */

import { launch } from 'puppeteer-core';

const [executablePath = '', url = ''] = process.argv.slice(2);
const PATIENCE_MS = 40_000;

/** Settings of a user who has allowed the microphone, and sound without a click. */
const SETTINGS = { 'media.navigator.permission.disabled': true };

const browser = await launch({
  browser: 'firefox',
  executablePath,
  headless: true,
  extraPrefsFirefox: SETTINGS,
});

/** Write a step. @param {string} step @param {object} [facts] */
function tell(step, facts = {}) {
  process.stdout.write(`${JSON.stringify({ step, ...facts })}\n`);
}

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  /** @type {string[]} */
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));

  /** Wait until the page shows a state. @param {string} state */
  const shows = (state) =>
    page.waitForFunction(
      (wanted) => {
        const root = document.querySelector('sonic-voice')?.shadowRoot;
        return root?.querySelector('.state')?.textContent === wanted;
      },
      {},
      state,
    );

  /** Click a button. @param {string} name */
  const click = async (name) => {
    const button = await page.evaluateHandle((wanted) => {
      const root = document.querySelector('sonic-voice')?.shadowRoot;
      const buttons = [...(root?.querySelectorAll('button') ?? [])];
      return buttons.find((node) => node.textContent === wanted && node.checkVisibility());
    }, name);
    await /** @type {any} */ (button).click();
  };

  /** Return the turns that are shown. */
  const turns = () =>
    page.evaluate(() => {
      const root = document.querySelector('sonic-voice')?.shadowRoot;
      const text = (/** @type {Element} */ turn, /** @type {string} */ kind) =>
        [...turn.querySelectorAll(kind)].map((node) => node.lastChild?.textContent ?? '').join('');
      return [...(root?.querySelectorAll('.turn:not([hidden])') ?? [])].map((turn) => ({
        who: text(turn, '.who'),
        spoken: text(turn, '.said .spoken'),
        planned: text(turn, '.said .planned'),
        lost: text(turn, '.said s'),
      }));
    });

  await page.goto(url);
  await shows('ready');
  await click('Start talking');
  await shows('listening');
  tell('listening');
  await shows('hearing you');
  await shows('speaking');
  // Half of the answer: its first words were heard, the last are still to come.
  await page.waitForFunction(() => {
    const { turns: said } = /** @type {any} */ (document.querySelector('sonic-voice')).client;
    return said.at(-1).who === 'assistant' && said.at(-1).heardLength > 5;
  });
  const half = await turns();
  await click('Interrupt');
  await page.waitForFunction(() =>
    document.querySelector('sonic-voice')?.shadowRoot?.querySelector('.said s'),
  );
  const cut = await turns();
  await page.reload();
  await shows('ready');
  const kept = await turns();
  await click('Start talking');
  await shows('listening');
  await click('End');
  await shows('ended');
  tell('done', { half, cut, kept, errors, version: await browser.version() });
} finally {
  await browser.close();
}
