/**
 * Both voices on one line of time. The person is drawn above it, in strokes; the model below it, as
 * one solid shape: place and form tell them apart, and colour only agrees. Now is at the right, and
 * the past drifts to the left, so that an interruption, and the wait for an answer, can be seen.
 *
 * Levels are noted for both at once, by the clock of the screen: the waves that the devices keep
 * have a time each. Nothing moves while nobody talks to anybody. Who asked for less motion gets two
 * bars that stay in place, four times a second.
 */

import { element, setText } from './view/element.js';
import { SLOTS, SLOT_MS, LevelHistory, share } from './view/level-history.js';

/** @typedef {{ wave(into: Float32Array): void }} LevelSource  see audio/level.js */
/** @typedef {() => { person: LevelSource | null, voice: LevelSource | null }} LevelSources */
/** @typedef {{ person: string, voice: string }} Colors */

/** Between two pictures for who wants less motion. */
const CALM_MS = 250;

const PITCH_PX = 4;
const STROKE_PX = 2;
const GAP_PX = 4;
const BAR_PX = 10;

export class Waveform {
  #history = new LevelHistory();
  /** @type {LevelSources} */
  #sources = () => ({ person: null, voice: null });
  #frame = 0;
  /** 40 ms, so that a slow screen misses nothing. */
  #latest = new Float32Array(2);
  #drawnMs = -Infinity;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #dark = matchMedia('(prefers-color-scheme: dark)');
  /** @type {Colors | null} */
  #colors = null;

  #canvas = element('canvas', { role: 'img', 'aria-label': 'Sound: yours above, the voice below' });
  #voiceName = element('span', {}, 'Voice');

  constructor() {
    const names = element('p', { 'aria-hidden': 'true' }, element('span', {}, 'You'), this.#voiceName);
    this.node = element('div', { class: 'waveform' }, this.#canvas, names);
    new ResizeObserver(() => this.#draw(performance.now())).observe(this.#canvas);
    this.#dark.addEventListener('change', () => this.#restyle());
  }

  /** @param {LevelSources} sources  asked anew for each frame */
  start(sources) {
    this.#sources = sources;
    if (!this.#frame) this.#frame = requestAnimationFrame((nowMs) => this.#next(nowMs));
  }

  /** Stops; what was drawn stays. */
  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /** @param {string} name */
  set voiceName(name) {
    setText(this.#voiceName, name);
  }

  /** @param {boolean} whole  whether the connection is; without it the line is dashed */
  set whole(whole) {
    this.node.classList.toggle('broken', !whole);
  }

  #restyle() {
    this.#colors = null;
    this.#draw(performance.now());
  }

  /** @param {number} nowMs */
  #next(nowMs) {
    const { person, voice } = this.#sources();
    this.#history.note(nowMs, this.#levelOf(person), this.#levelOf(voice));
    if (!this.#calm.matches || nowMs - this.#drawnMs >= CALM_MS) this.#draw(nowMs);
    this.#frame = requestAnimationFrame((laterMs) => this.#next(laterMs));
  }

  /** @param {LevelSource | null} source */
  #levelOf(source) {
    if (!source) return 0;
    source.wave(this.#latest);
    return Math.max(...this.#latest);
  }

  /** @param {number} nowMs */
  #draw(nowMs) {
    const canvas = this.#canvas;
    const context = canvas.getContext('2d');
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!context || !width) return;
    const ratio = devicePixelRatio;
    const [columns, rows] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== columns) canvas.width = columns;
    if (canvas.height !== rows) canvas.height = rows;
    this.#drawnMs = nowMs;
    const colors = (this.#colors ??= colorsOf(canvas));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const middle = Math.round(height / 2);
    if (this.#calm.matches) drawBars(context, { width, middle, colors }, this.#history);
    else drawPast(context, { width, middle, colors }, this.#history, (nowMs % SLOT_MS) / SLOT_MS);
  }
}

/** @param {Element} canvas */
function colorsOf(canvas) {
  const style = getComputedStyle(canvas);
  /** @param {string} name */
  const color = (name) => style.getPropertyValue(name).trim() || style.color;
  return { person: color('--ink'), voice: color('--voice') };
}

/** @typedef {{ width: number, middle: number, colors: Colors }} Sheet  in pixels of the page */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {LevelHistory} history
 * @param {number} passed  how much of the newest slot has passed, 0 to 1
 */
function drawPast(context, { width, middle, colors }, history, passed) {
  const count = Math.min(Math.ceil(width / PITCH_PX) + 2, SLOTS);
  const most = middle - 2 * STROKE_PX - GAP_PX;
  /** @param {number} slotsAgo */
  const place = (slotsAgo) => width - (slotsAgo + passed - 1) * PITCH_PX;

  context.strokeStyle = colors.person;
  context.lineWidth = STROKE_PX;
  context.lineCap = 'round';
  context.beginPath();
  for (let ago = 1; ago < count; ago += 1) {
    const tall = share(history.person(ago)) * most;
    if (tall < 1) continue;
    context.moveTo(place(ago), middle - GAP_PX);
    context.lineTo(place(ago), middle - GAP_PX - tall);
  }
  context.stroke();

  context.fillStyle = colors.voice;
  context.beginPath();
  context.moveTo(place(0), middle + 1);
  for (let ago = 1; ago < count; ago += 1) {
    const here = middle + 1 + share(history.voice(ago)) * most;
    const next = middle + 1 + share(history.voice(ago + 1)) * most;
    context.quadraticCurveTo(place(ago), here, place(ago + 0.5), (here + next) / 2);
  }
  context.lineTo(place(count), middle + 1);
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {LevelHistory} history
 */
function drawBars(context, { width, middle, colors }, history) {
  context.fillStyle = colors.person;
  for (let long = PITCH_PX; long < share(history.person(1)) * width; long += PITCH_PX) {
    context.fillRect(width - long, middle - GAP_PX - BAR_PX, STROKE_PX, BAR_PX);
  }
  const long = share(history.voice(1)) * width;
  context.fillStyle = colors.voice;
  context.fillRect(width - long, middle + GAP_PX, long, BAR_PX);
}
