/**
 * The transcript, laid out like a play: the speaker in the margin, the words beside it.
 *
 * An answer is first shown as planned (dim, with dots below); its words light up as they are heard;
 * text that an interruption cut off is struck through. The conversations of the page follow each
 * other, with a line between them. The nodes of a turn exist as long as the conversation is shown.
 * They are updated and never built again, so that a selection and the scroll position are kept, and
 * long conversations stay fast.
 *
 * The transcript is a log that screen readers do not announce, though users can navigate it. Its
 * words are spoken aloud already: a second voice would talk over them, and the microphone would
 * record it.
 */

import { heardText } from '../heard-words.js';
import { label, sentences } from '../labels.js';
import { time } from '../saved-transcript.js';
import { element, growText, setText } from './element.js';
import { seconds, voiceName } from './wording.js';

/** @typedef {import('../archive.js').ConversationRecord} ConversationRecord */
/** @typedef {import('../conversation.js').Turn} Turn */
/** @typedef {Turn['tools'][number]} Tool */
/** @typedef {import('../conversation.js').ShownPicture} ShownPicture */
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
  const { heard, rest } = heardText(turn);
  const isCut = turn.interrupted && (turn.heard || turn.lost);
  // The space before the words that are to come, or were cut off, has no line through or below it.
  const words = rest.trimStart();
  const space = rest.slice(0, rest.length - words.length);
  /** @type {Segment[]} */
  const all = [
    { kind: 'spoken', text: heard && heard + space },
    { kind: isCut ? 'lost' : 'planned', text: words },
  ];
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

/** Width and heights of a scrolled box. @typedef {[number, number, number]} Geometry */

/** The transcript of all conversations of the page. */
export class Transcript {
  /** The nodes of the conversations, by the time at which they began. @type {Map<number, Group>} */
  #groups = new Map();
  #newest = element('button', { type: 'button', class: 'newest', hidden: true });
  #log = element('div', {
    class: 'log',
    role: 'log',
    'aria-live': 'off',
    'aria-label': label('Transcript'),
    tabindex: '0',
  });
  #followed = true;
  /** The geometry of the box when it was last scrolled. @type {Geometry} */
  #geometry = [0, 0, 0];

  constructor() {
    this.node = element('div', { class: 'transcript' }, this.#log, this.#newest);
    setText(this.#newest, label('Newest words'));
    this.#log.addEventListener('scroll', () => this.#look(), { passive: true });
    this.#newest.addEventListener('click', () => {
      this.#followed = true;
      this.#follow();
      this.#log.focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.#follow()).observe(this.#log);
    // A picture has its height when it is loaded. The event does not bubble.
    this.#log.addEventListener('load', () => this.#follow(), { capture: true });
  }

  /** Whether there are neither turns nor notices. */
  get isEmpty() {
    return !this.#log.childElementCount;
  }

  /**
   * Show conversations. Only turns that have changed are updated.
   *
   * @param {readonly ConversationRecord[]} records  the oldest first
   */
  show(records) {
    const shown = new Set(records.map(({ beganMs }) => beganMs));
    for (const [beganMs, group] of this.#groups) {
      if (shown.has(beganMs)) continue;
      group.node.remove();
      this.#groups.delete(beganMs);
    }
    for (const record of records) {
      if (record.turns.length || this.#groups.has(record.beganMs)) this.#group(record).show(record);
    }
    this.#follow();
  }

  /**
   * Append a sentence that neither user nor model has said.
   *
   * @param {string} text
   * @param {ConversationRecord | undefined} record  the conversation that it belongs to
   */
  notice(text, record) {
    const group = record?.beganMs ? this.#group(record) : undefined;
    (group?.node ?? this.#log).append(element('p', { class: 'notice' }, sentences(text)));
    this.#follow();
  }

  /**
   * Return the nodes of a conversation, which are added if there are none.
   *
   * @param {ConversationRecord} record
   */
  #group({ beganMs }) {
    let group = this.#groups.get(beganMs);
    if (!group) {
      group = new Group(beganMs);
      this.#groups.set(beganMs, group);
      this.#log.append(group.node);
    }
    return group;
  }

  /**
   * Check whether the user has scrolled away from the end. When the box or its content has another
   * size it was the browser that scrolled, such as on a phone that is turned.
   */
  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    const isEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    const before = this.#geometry;
    const isSame = this.#measure().every((size, index) => size === before[index]);
    if (isEnd || isSame) this.#followed = isEnd;
    else this.#follow();
    this.#newest.hidden = this.#followed;
  }

  /** Scroll to the end, unless the user has scrolled away. */
  #follow() {
    if (this.#followed) this.#log.scrollTop = this.#log.scrollHeight;
    this.#geometry = this.#measure();
    this.#newest.hidden = this.#followed;
  }

  /** Return the size of the box and of its content. @returns {Geometry} */
  #measure() {
    const { scrollHeight, clientHeight, clientWidth } = this.#log;
    return [clientWidth, clientHeight, scrollHeight];
  }
}

/** The nodes of one conversation: a line with its time, unless it is the first, and its turns. */
class Group {
  /** @type {Row[]} */
  #rows = [];

  /** @param {number} beganMs */
  constructor(beganMs) {
    const at = time(beganMs).slice(0, 5);
    const text = label('A new conversation, {time}', { time: at });
    const begin = element('p', { class: 'begin' }, text);
    this.node = element('div', { class: 'conversation' }, begin);
  }

  /** Show the turns. @param {ConversationRecord} record */
  show({ turns, voice }) {
    turns.forEach((turn, index) => {
      const row = this.#rows[index] ?? this.#add();
      row.show(turn, voiceName(voice));
    });
    for (const row of this.#rows.splice(turns.length)) row.node.remove();
  }

  /** Append a row for a new turn. */
  #add() {
    const row = new Row();
    this.#rows.push(row);
    this.node.append(row.node);
    return row;
  }
}

/** The nodes of one turn. */
class Row {
  /** @type {Turn | null} */
  #turn = null;
  #voice = '';
  #who = element('span', { class: 'who' });
  #tools = element('div', { class: 'tools' });
  #pictures = element('div', { class: 'pictures' });
  #said = element('p', { class: 'said', dir: 'auto' });
  #margin = element('span', { class: 'margin' });

  constructor() {
    this.node = element(
      'div',
      { class: 'turn' },
      this.#who,
      element('div', { class: 'words' }, this.#tools, this.#pictures, this.#said),
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
    const { tools, pictures = [] } = turn;
    this.node.hidden = !words.length && !tools.length && !pictures.length;
    this.node.dataset.who = turn.who;
    setText(this.#who, turn.who === 'user' ? label('You') : voice);
    const latency = turn.responseMs === null ? '' : seconds(turn.responseMs);
    setText(this.#margin, turn.typed ? label('typed') : latency);
    this.#said.hidden = !words.length;
    updateChildren(this.#said, words, segmentNode);
    updateChildren(this.#tools, tools, toolNode);
    updateChildren(this.#pictures, pictures, pictureNode);
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
    growText(node, text);
  } else if (node.lastChild?.textContent !== text) {
    node.replaceChildren(element('span', { class: 'unseen' }, ` ${label('(not heard:)')} `), text);
  }
  return node;
}

/**
 * Return the node for a tool call: name, arguments and result, and what is reported while it runs.
 *
 * @param {Tool} tool
 * @param {Element | undefined} now  the current node
 */
function toolNode(tool, now) {
  const status = { class: 'progress', role: 'status' };
  const [span, progress] = [() => element('span'), () => element('span', status)];
  const node = now ?? element('p', { class: 'tool' }, element('b'), span(), span(), progress());
  const asked = tool.argumentsJson ? ` ${readableJson(tool.argumentsJson)}` : '';
  const answered = tool.resultJson ? readableJson(tool.resultJson) : label('done');
  const end = tool.answered ? ` → ${answered}` : ' …';
  const texts = [tool.name, asked, end, tool.answered ? '' : progressOf(tool)];
  [...node.children].forEach((child, index) => setText(child, texts[index] ?? ''));
  return node;
}

/** Return what is reported of a running tool; '' for nothing. @param {Tool} tool */
function progressOf({ held, progress = '' }) {
  return held ? label('Its answer waits for a pause.') : shortened(progress);
}

/** The pictures that nodes show. @type {WeakMap<Element, Blob | undefined>} */
const shownPictures = new WeakMap();

/**
 * Return the node for a picture: the picture, or its words while it is not there.
 *
 * @param {ShownPicture} picture
 * @param {Element | undefined} now  the current node
 */
function pictureNode({ alt, blob }, now) {
  if (now && shownPictures.get(now) === blob) return now;
  const node = now ?? element('figure', { class: 'picture' });
  shownPictures.set(node, blob);
  node.replaceChildren(blob ? image(blob, alt) : pictureWords(alt));
  return node;
}

/**
 * Return an image. Its URL is revoked as soon as it is loaded. One that cannot be shown, because it
 * is damaged or the policy of the page forbids it, is replaced by its words.
 *
 * @param {Blob} blob
 * @param {string} alt
 */
function image(blob, alt) {
  const src = URL.createObjectURL(blob);
  const node = element('img', { src, alt });
  node.addEventListener('load', () => URL.revokeObjectURL(src));
  node.addEventListener('error', () => {
    URL.revokeObjectURL(src);
    node.replaceWith(pictureWords(alt));
  });
  return node;
}

/** Return the words for a picture. @param {string} alt */
function pictureWords(alt) {
  return element('figcaption', {}, label('Picture: {words}', { words: alt }));
}
