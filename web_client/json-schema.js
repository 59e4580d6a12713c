/**
 * Validation of the arguments of a tool against its JSON schema. Pure.
 *
 * The server sends schemas as the voice service accepts them: without references and alternatives.
 * Keywords that are not listed in `Schema` are not checked here; the server has checked them.
 */

/**
 * The keywords that are checked.
 *
 * @typedef {{ type?: string, enum?: unknown[], properties?: Record<string, Schema>,
 *   required?: string[], items?: Schema, additionalProperties?: boolean | Schema,
 *   minimum?: number, maximum?: number, minLength?: number, maxLength?: number }} Schema
 */

/** Tests of the type of a value. @type {Record<string, (value: unknown) => boolean>} */
const TYPES = {
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  array: Array.isArray,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  null: (value) => value === null,
};

/**
 * Return what is wrong with a value, as a sentence; '' if nothing is.
 *
 * @param {Schema} schema
 * @param {unknown} value
 * @param {string} [path]  the place of the value
 * @returns {string}
 */
export function fault(schema, value, path = 'arguments') {
  const { type } = schema;
  if (type !== undefined && TYPES[type]?.(value) === false) return `${path} is no ${type}.`;
  if (schema.enum && !schema.enum.includes(value)) {
    return `${path} is none of ${schema.enum.join(', ')}.`;
  }
  if (!isWithin(schema, value)) return `${path} is out of range.`;
  if (Array.isArray(value)) {
    const { items } = schema;
    return items ? first(value.map((item, index) => fault(items, item, `${path}[${index}]`))) : '';
  }
  return TYPES.object?.(value) ? faultOfMembers(schema, Object(value), path) : '';
}

/**
 * Return what is wrong with the members of an object.
 *
 * @param {Schema} schema
 * @param {Record<string, unknown>} value
 * @param {string} path
 */
function faultOfMembers({ properties = {}, required = [], additionalProperties }, value, path) {
  const missing = required.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) return `${path}.${missing} is missing.`;
  return first(
    Object.entries(value).map(([name, member]) => {
      const known = Object.hasOwn(properties, name) ? properties[name] : additionalProperties;
      if (known === false) return `${path}.${name} is not known.`;
      return typeof known === 'object' ? fault(known, member, `${path}.${name}`) : '';
    }),
  );
}

/**
 * Return whether a number, or the length of a text, is in range.
 *
 * @param {Schema} schema
 * @param {unknown} value
 */
function isWithin({ minimum, maximum, minLength, maxLength }, value) {
  const isText = typeof value === 'string';
  const [low, high] = isText ? [minLength, maxLength] : [minimum, maximum];
  const size = isText ? [...value].length : value;
  if (typeof size !== 'number') return true;
  return size >= (low ?? -Infinity) && size <= (high ?? Infinity);
}

/** Return the first text that is not empty. @param {string[]} texts */
function first(texts) {
  return texts.find(Boolean) ?? '';
}
