/**
 * The transcript, laid out like a play: the speaker in the margin, the words beside it.
 *
 * An answer is first shown as planned (dim), then as spoken (bright); text that an interruption cut
 * off is struck through. The nodes of a turn exist as long as the conversation is shown. They are
 * updated and never built again, so that a selection and the scroll position are kept, and long
 * conversations stay fast.
 *
 * The transcript is a log that screen readers do not announce, though users can navigate it. Its
 * words are spoken aloud already: a second voice would talk over them, and the microphone would
 * record it.
 */

import { element, setText } from './element.js';
import { seconds } from './wording.js';

/** @typedef {import('../conversation.js').Turn} Turn */
/** @typedef {Turn['tools'][number]} Tool */
/** @typedef {{ kind: 'planned' | 'spoken' | 'lost', text: string }} Segment */

/** Maximum distance from the end at which the transcript scrolls with new words. */
const NEAR_PX = 32;

/** Maximum length of the arguments or the result of a tool. Longer ones are cut. */
const MOST_CHARACTERS = 600;

/**
 * Return the words of a turn, in segments that are displayed differently.
 *
 * @param {Turn} turn
 * @returns {Segment[]}
 */
export function segments(turn) {
  /** @type {Segment[]} */
  let all;
  if (turn.interrupted && (turn.heard || turn.lost)) {
    // The space before the words that were cut off is not struck through.
    const lost = turn.lost.trimStart();
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
 * Return JSON in a readable form: the members of an object without its braces and quotes.
 *
 * @param {string} json
 */
export function readableJson(json) {
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

/** Return a text of at most `MOST_CHARACTERS`. @param {string} text */
function shortened(text) {
  return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text;
}

/** The transcript of a conversation. */
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

  /** Whether there are neither turns nor notices. */
  get isEmpty() {
    return !this.#log.childElementCount;
  }

  /**
   * Show turns. Only those that have changed are updated.
   *
   * @param {readonly Turn[]} turns
   * @param {string} voice  the name of the model's voice
   */
  show(turns, voice) {
    if (turns.length < this.#rows.length) this.#clear();
    turns.forEach((turn, index) => {
      const row = this.#rows[index] ?? this.#add();
      row.show(turn, voice);
    });
    this.#follow();
  }

  /** Append a sentence that neither user nor model has said. @param {string} text */
  notice(text) {
    this.#log.append(element('p', { class: 'notice' }, text));
    this.#follow();
  }

  /** Append a row for a new turn. */
  #add() {
    const row = new Row();
    this.#rows.push(row);
    this.#log.append(row.node);
    return row;
  }

  /** Remove everything, for a new conversation. */
  #clear() {
    this.#rows = [];
    this.#log.replaceChildren();
    this.#followed = true;
  }

  /** Check whether the user has scrolled away from the end. */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    this.#followed = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#newest.hidden = this.#followed;
  }

  /** Scroll to the end, unless the user has scrolled away. */
  #follow() {
    if (this.#followed) this.#log.scrollTop = this.#log.scrollHeight;
    this.#newest.hidden = this.#followed;
  }
}

/** The nodes of one turn. */
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
   * Show the turn, if it has changed.
   *
   * @param {Turn} turn
   * @param {string} voice  the name of the model's voice
   */
  show(turn, voice) {
    // A turn that changes is replaced by a new object.
    if (turn === this.#turn && voice === this.#voice) return;
    this.#turn = turn;
    this.#voice = voice;
    const words = segments(turn);
    this.node.hidden = !words.length && !turn.tools.length;
    this.node.dataset.who = turn.who;
    setText(this.#who, turn.who === 'user' ? 'You' : voice);
    const latency = turn.responseMs === null ? '' : seconds(turn.responseMs);
    setText(this.#margin, turn.typed ? 'typed' : latency);
    this.#said.hidden = !words.length;
    updateChildren(this.#said, words, segmentNode);
    updateChildren(this.#tools, turn.tools, toolNode);
  }
}

/**
 * Give `parent` one child for each item, and change only the children that differ.
 *
 * @template Item
 * @param {HTMLElement} parent
 * @param {readonly Item[]} items
 * @param {(item: Item, now: Element | undefined) => Element} node  returns the child for an item:
 *   the current child `now` after updating it, or a new one
 */
function updateChildren(parent, items, node) {
  items.forEach((item, index) => {
    const now = parent.children[index];
    const next = node(item, now);
    if (!now) parent.append(next);
    else if (next !== now) now.replaceWith(next);
  });
  while (parent.children.length > items.length) parent.lastElementChild?.remove();
}

/**
 * Return the node for a segment.
 *
 * @param {Segment} segment
 * @param {Element | undefined} now  the current node
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
 * Return the node for a tool call: name, arguments and result.
 *
 * @param {Tool} tool
 * @param {Element | undefined} now  the current node
 */
function toolNode(tool, now) {
  const node =
    now ?? element('p', { class: 'tool' }, element('b'), element('span'), element('span'));
  const asked = tool.argumentsJson ? ` ${readableJson(tool.argumentsJson)}` : '';
  const answered = tool.resultJson ? readableJson(tool.resultJson) : 'done';
  const texts = [tool.name, asked, tool.answered ? ` → ${answered}` : ' …'];
  [...node.children].forEach((child, index) => setText(child, texts[index] ?? ''));
  return node;
}
