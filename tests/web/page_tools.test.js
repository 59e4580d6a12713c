/** Tools that the page carries out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fault } from '../../web_client/json-schema.js';
import { runTool } from '../../web_client/page-tools.js';

/** @typedef {import('../../web_client/json-schema.js').Schema} Schema */

/** @type {Schema} */
const SCHEMA = {
  type: 'object',
  properties: {
    sku: { type: 'string', minLength: 2 },
    count: { type: 'integer', minimum: 1, maximum: 9 },
    size: { type: 'string', enum: ['S', 'L'] },
    tags: { type: 'array', items: { type: 'string' } },
    prices: { type: 'object', additionalProperties: { type: 'number' } },
  },
  required: ['sku'],
};
const SPECS = [{ name: 'show', description: 'Show a product.', schema: SCHEMA }];

/**
 * @param {object} values
 * @param {import("../../web_client/page-tools.js").Tools} tools
 */
async function answer(values, tools, name = 'show') {
  return JSON.parse(await runTool({ id: '1', name, arguments: values }, SPECS, tools));
}

test('values are checked against the schema, and the place of the fault is named', () => {
  /** @type {[unknown, string][]} */
  const cases = [
    [{ sku: 'B-7' }, ''],
    [{ sku: 'B-7', count: 3, size: 'S', tags: ['a'], prices: { eur: 1.5 }, more: null }, ''],
    [{}, 'arguments.sku is missing.'],
    [[], 'arguments is no object.'],
    [{ sku: 7 }, 'arguments.sku is no string.'],
    [{ sku: 'B' }, 'arguments.sku is out of range.'],
    [{ sku: 'B-7', count: 1.5 }, 'arguments.count is no integer.'],
    [{ sku: 'B-7', count: 10 }, 'arguments.count is out of range.'],
    [{ sku: 'B-7', size: 'XL' }, 'arguments.size is none of S, L.'],
    [{ sku: 'B-7', tags: ['a', 7] }, 'arguments.tags[1] is no string.'],
    [{ sku: 'B-7', prices: { eur: '1' } }, 'arguments.prices.eur is no number.'],
  ];
  for (const [value, told] of cases) assert.equal(fault(SCHEMA, value), told);
});

test('a tool gets the arguments, and its result is sent', async () => {
  const show = async (/** @type {{ sku: string }} */ { sku }) => ({ shown: sku });
  const sent = await answer({ sku: 'B-7' }, { show });
  assert.deepEqual(sent, { type: 'tool_result', id: '1', result: { shown: 'B-7' } });
  assert.equal((await answer({ sku: 'B-7' }, { show: () => {} })).result, null);
});

test('what cannot be done is told to the model', async () => {
  const never = () => assert.fail('the arguments are wrong');
  assert.equal((await answer({}, { show: never })).error, 'arguments.sku is missing.');
  assert.equal((await answer({ sku: 'B-7' }, {})).error, 'The page has no tool show.');
  assert.equal((await answer({}, {}, 'toString')).error, 'The page has no tool toString.');
  const fails = () => Promise.reject(new Error('There is no such product.'));
  assert.equal((await answer({ sku: 'B-7' }, { show: fails })).error, 'There is no such product.');
});

test('a result that cannot be sent is an error', async () => {
  const long = await answer({ sku: 'B-7' }, { show: () => 'x'.repeat(10_000) });
  assert.equal(long.error, 'The result is too long.');
  const loop = /** @type {{ self?: object }} */ ({});
  loop.self = loop;
  assert.match((await answer({ sku: 'B-7' }, { show: () => loop })).error, /cannot be sent/);
});
