/**
 * Creation of elements in one expression. Text is always inserted as text and never parsed as HTML,
 * because the output of a model cannot be trusted.
 */

/**
 * Create an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | boolean>} [attributes]  true sets an attribute without a value,
 *   false sets none
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

/**
 * Set the text of a node if it differs. A screen reader repeats a live region whenever its text is
 * set, even to the same value.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Set the text of a node that has one text. If it only grows, or loses its beginning, the rest of
 * it is left alone, so that a selection in it is kept.
 *
 * @param {Node} node
 * @param {string} text
 */
export function growText(node, text) {
  const { firstChild: first } = node;
  const before = node.textContent ?? '';
  if (!(first instanceof Text) || !before) setText(node, text);
  else if (text.startsWith(before)) first.appendData(text.slice(before.length));
  else if (text && before.endsWith(text)) first.deleteData(0, before.length - text.length);
  else setText(node, text);
}
