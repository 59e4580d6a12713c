/**
 * The transcript, set like a play: who speaks in the margin, the words beside it.
 *
 * An answer is first planned (dim), then spoken (bright); what an interruption cut off is struck
 * through. A turn has its nodes for as long as the conversation is shown: they are told what
 * changed and never built again, so that a selection, a reader's place and hours of talk survive.
 *
 * It is a log that keeps silent for screen readers, though they can walk through it. Its words are
 * being spoken aloud: a second voice would talk over them, and the microphone would hear it.
 */

import { element, setText } from './element.js';
import { seconds } from './wording.js';

/** @typedef {import('../conversation.js').Turn} Turn */
/** @typedef {Turn['tools'][number]} Tool */
/** @typedef {{ kind: 'planned' | 'spoken' | 'lost', text: string }} Segment */

/** How far from the end still counts as reading along. */
const NEAR_PX = 32;

/** A longer argument or result is cut. */
const MOST_CHARACTERS = 600;

/**
 * The words of a turn, and how each is set.
 *
 * @param {Turn} turn
 * @returns {Segment[]}
 */
export function segments(turn) {
  /** @type {Segment[]} */
  let all;
  if (turn.interrupted && (turn.heard || turn.lost)) {
    const lost = turn.lost.trimStart(); // or the line through it begins before the word
    const space = turn.lost.slice(0, turn.lost.length - lost.length);
    all = [
      { kind: 'spoken', text: turn.heard + space },
      { kind: 'lost', text: lost },
    ];
  } else {
    all = turn.parts.map(({ text, stage }) => ({
      kind: turn.who === 'user' || stage === 'FINAL' ? 'spoken' : 'planned',
      text,
    }));
  }
  return all.filter(({ text }) => text.trim());
}

/**
 * JSON as one would write it in a margin: an object's members without its braces and quotes.
 *
 * @param {string} json
 */
export function plainly(json) {
  let value;
  try {
    value = JSON.parse(json);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return shortened(json);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return shortened(json);
  const members = Object.entries(value).map(
    ([name, member]) => `${name} ${typeof member === 'string' ? member : JSON.stringify(member)}`,
  );
  return shortened(members.join(', '));
}

/** @param {string} text */
function shortened(text) {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}

export class Transcript {
  /** @type {Row[]} */
  #rows = [];
  #newest = element('button', { type: 'button', class: 'newest', hidden: true }, 'Newest words');
  #log = element('div', {
    class: 'log',
    role: 'log',
    'aria-live': 'off',
    'aria-label': 'Transcript',
    tabindex: '0',
  });
  #followed = true;

  constructor() {
    this.node = element('div', { class: 'transcript' }, this.#log, this.#newest);
    this.#log.addEventListener('scroll', () => this.#look(), { passive: true });
    this.#newest.addEventListener('click', () => {
      this.#followed = true;
      this.#follow();
      this.#log.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.#follow()).observe(this.#log);
  }

  get isEmpty() {
    return !this.#log.childElementCount;
  }

  /**
   * @param {readonly Turn[]} turns
   * @param {string} voice  the name of the one who answers
   */
  show(turns, voice) {
    if (turns.length < this.#rows.length) this.#clear();
    turns.forEach((turn, index) => {
      const row = this.#rows[index] ?? this.#add();
      row.show(turn, voice);
    });
    this.#follow();
  }

  /** @param {string} text  a sentence that is neither's */
  notice(text) {
    this.#log.append(element('p', { class: 'notice' }, text));
    this.#follow();
  }

  #add() {
    const row = new Row();
    this.#rows.push(row);
    this.#log.append(row.node);
    return row;
  }

  #clear() {
    this.#rows = [];
    this.#log.replaceChildren();
    this.#followed = true;
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    this.#followed = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#newest.hidden = this.#followed;
  }

  #follow() {
    if (this.#followed) this.#log.scrollTop = this.#log.scrollHeight;
    this.#newest.hidden = this.#followed;
  }
}

/** One turn's nodes. */
class Row {
  /** @type {Turn | null} */
  #turn = null;
  #voice = '';
  #who = element('span', { class: 'who' });
  #tools = element('div', { class: 'tools' });
  #said = element('p', { class: 'said', dir: 'auto' });
  #margin = element('span', { class: 'margin' });

  constructor() {
    this.node = element(
      'div',
      { class: 'turn' },
      this.#who,
      element('div', { class: 'words' }, this.#tools, this.#said),
      this.#margin,
    );
  }

  /**
   * @param {Turn} turn
   * @param {string} voice
   */
  show(turn, voice) {
    if (turn === this.#turn && voice === this.#voice) return; // a turn never changes: see Turn
    this.#turn = turn;
    this.#voice = voice;
    const words = segments(turn);
    this.node.hidden = !words.length && !turn.tools.length;
    this.node.dataset.who = turn.who;
    setText(this.#who, turn.who === 'user' ? 'You' : voice);
    setText(this.#margin, turn.typed ? 'typed' : turn.responseMs === null ? '' : seconds(turn.responseMs));
    this.#said.hidden = !words.length;
    match(this.#said, words, segmentNode);
    match(this.#tools, turn.tools, toolNode);
  }
}

/**
 * Gives `parent` one child for each item, and touches only the children that differ.
 *
 * @template Item
 * @param {HTMLElement} parent
 * @param {readonly Item[]} items
 * @param {(item: Item, now: Element | undefined) => Element} node  the child for an item: `now`,
 *   which stands there, changed to fit, or another one
 */
function match(parent, items, node) {
  items.forEach((item, index) => {
    const now = parent.children[index];
    const next = node(item, now);
    if (!now) parent.append(next);
    else if (next !== now) now.replaceWith(next);
  });
  while (parent.children.length > items.length) parent.lastElementChild?.remove();
}

/**
 * @param {Segment} segment
 * @param {Element | undefined} now
 */
function segmentNode({ kind, text }, now) {
  const tag = kind === 'lost' ? 's' : 'span';
  const node = now?.localName === tag ? now : element(tag);
  if (node.className !== kind) node.className = kind;
  if (kind !== 'lost') {
    setText(node, text);
  } else if (node.lastChild?.textContent !== text) {
    node.replaceChildren(element('span', { class: 'unseen' }, ' (not heard:) '), text);
  }
  return node;
}

/**
 * @param {Tool} tool
 * @param {Element | undefined} now
 */
function toolNode(tool, now) {
  const node = now ?? element('p', { class: 'tool' }, element('b'), element('span'), element('span'));
  const asked = tool.argumentsJson ? ` ${plainly(tool.argumentsJson)}` : '';
  const answered = tool.resultJson ? plainly(tool.resultJson) : 'done';
  const texts = [tool.name, asked, tool.answered ? ` → ${answered}` : ' …'];
  [...node.children].forEach((child, index) => setText(child, texts[index] ?? ''));
  return node;
}
