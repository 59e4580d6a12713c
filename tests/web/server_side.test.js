/** Importing the modules without a browser, as in server-side rendering. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';

const CLIENT = new URL('../../web_client/', import.meta.url);

/** Scripts that only a page or an audio thread loads. */
const OF_BROWSERS = ['page.js', 'audio/capture-worklet.js', 'audio/playback-worklet.js'];

test('every module can be imported without a browser, and does nothing', () => {
  const files = ['', 'audio/', 'view/'].flatMap((folder) =>
    readdirSync(new URL(folder, CLIENT)).map((name) => folder + name),
  );
  const modules = files.filter((file) => file.endsWith('.js') && !OF_BROWSERS.includes(file));
  assert.ok(modules.includes('sonic-voice.js'));
  const urls = modules.map((file) => new URL(file, CLIENT).href);
  const code = `for (const url of ${JSON.stringify(urls)}) await import(url)`;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', code]);
  assert.equal(output.length, 0);
});
