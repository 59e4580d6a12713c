/** The tools of a page: declared by the server, implemented by the application. */

import { fault } from './json-schema.js';
import { toolResult } from './messages.js';

/** @import { ToolSpec } from './messages.js' */

/**
 * The functions of the tools, by name. A function gets the arguments of the model, and returns a
 * result that JSON can express, or a promise of one.
 *
 * @typedef {Record<string, (values: any) => unknown>} Tools
 */

/**
 * Carry out a call, and return the message with its result. Errors are for the model, which tells
 * the user of them.
 *
 * @param {{ id: string, name: string, arguments: object }} call
 * @param {readonly ToolSpec[]} specs  the tools that the server has declared
 * @param {Tools} tools
 * @returns {Promise<string>}
 */
export async function runTool({ id, name, arguments: values }, specs, tools) {
  const spec = specs.find((one) => one.name === name);
  const implementation = Object.hasOwn(tools, name) ? tools[name] : undefined;
  if (!spec || !implementation) return toolResult(id, { error: `The page has no tool ${name}.` });
  const wrong = fault(spec.schema, values);
  if (wrong) return toolResult(id, { error: wrong });
  try {
    return toolResult(id, { result: await implementation(values) });
  } catch (error) {
    return toolResult(id, { error: error instanceof Error ? error.message : String(error) });
  }
}
