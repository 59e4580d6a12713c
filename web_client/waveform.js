/**
 * A waveform of both voices over one time axis.
 *
 * The person is drawn above the axis, in strokes; the model below it, as one solid shape. They are
 * told apart by place and form, and by colour only in addition. The present is at the right and the
 * past moves to the left, so that an interruption and the wait for an answer can be seen.
 *
 * The levels of both are recorded at the same time, by the clock of the screen, because the waves
 * that the devices keep have different times. Nothing moves without a conversation. Users who
 * prefer reduced motion get two bars that stay in place and are drawn four times a second.
 */

import { label } from './labels.js';
import { element, setText } from './view/element.js';
import { SLOTS, SLOT_MS, LevelHistory, relativeHeight } from './view/level-history.js';

/** @typedef {{ wave(into: Float32Array): void }} LevelSource  see audio/level.js */
/** @typedef {() => { person: LevelSource | null, voice: LevelSource | null }} LevelSources */
/** @typedef {{ person: string, voice: string }} Colors */

/** Time between two frames for users who prefer reduced motion. */
const CALM_MS = 250;

/** Distance between two strokes: the width of a slot of time. */
const PITCH_PX = 4;
/** Width of a stroke. */
const STROKE_PX = 2;
/** Distance of the person's strokes from the axis. */
const GAP_PX = 4;
/** Height of a bar, for reduced motion. */
const BAR_PX = 10;

/** The canvas with both voices, and their names. */
export class Waveform {
  #history = new LevelHistory();
  /** @type {LevelSources} */
  #sources = () => ({ person: null, voice: null });
  #frame = 0;
  /** The two newest values of a device, 40 ms, so that a slow screen misses none. */
  #latest = new Float32Array(2);
  #drawnMs = -Infinity;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #dark = matchMedia('(prefers-color-scheme: dark)');
  /** @type {Colors | null} */
  #colors = null;

  #canvas = element('canvas', {
    role: 'img',
    'aria-label': label('Sound: yours above, the voice below'),
  });
  #voiceName = element('span', {}, label('Voice'));

  constructor() {
    const you = element('span', {}, label('You'));
    const names = element('p', { 'aria-hidden': 'true' }, you, this.#voiceName);
    this.node = element('div', { class: 'waveform' }, this.#canvas, names);
    new ResizeObserver(() => this.#draw(performance.now())).observe(this.#canvas);
    this.#dark.addEventListener('change', () => this.#restyle());
  }

  /** Start drawing. @param {LevelSources} sources  called for each frame */
  start(sources) {
    this.#sources = sources;
    if (!this.#frame) this.#frame = requestAnimationFrame((nowMs) => this.#next(nowMs));
  }

  /** Stop drawing. The last frame stays. */
  stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /** Set the name of the model's voice. @param {string} name */
  set voiceName(name) {
    setText(this.#voiceName, name);
  }

  /** Set whether there is a connection. Without one the axis is dashed. @param {boolean} whole */
  set whole(whole) {
    this.node.classList.toggle('broken', !whole);
  }

  /** Draw again with the colours of the current colour scheme. */
  #restyle() {
    this.#colors = null;
    this.#draw(performance.now());
  }

  /** Record the levels, draw, and request the next frame. @param {number} nowMs */
  #next(nowMs) {
    const { person, voice } = this.#sources();
    this.#history.record(nowMs, this.#levelOf(person), this.#levelOf(voice));
    if (!this.#calm.matches || nowMs - this.#drawnMs >= CALM_MS) this.#draw(nowMs);
    this.#frame = requestAnimationFrame((laterMs) => this.#next(laterMs));
  }

  /** Return the level of a device in the last 40 ms. @param {LevelSource | null} source */
  #levelOf(source) {
    if (!source) return 0;
    source.wave(this.#latest);
    return Math.max(...this.#latest);
  }

  /** Draw a frame. @param {number} nowMs */
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

/** Return the colours of an element's style. @param {Element} canvas */
function colorsOf(canvas) {
  const style = getComputedStyle(canvas);
  /** @param {string} name */
  const color = (name) => style.getPropertyValue(name).trim() || style.color;
  return { person: color('--ink'), voice: color('--voice') };
}

/** @typedef {{ width: number, middle: number, colors: Colors }} Sheet  in CSS pixels */

/**
 * Draw the levels of the past as strokes and as a shape.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {LevelHistory} history
 * @param {number} passed  the part of the newest slot that has passed, 0 to 1
 */
function drawPast(context, { width, middle, colors }, history, passed) {
  const count = Math.min(Math.ceil(width / PITCH_PX) + 2, SLOTS);
  const most = middle - 2 * STROKE_PX - GAP_PX;
  /** Return the place of a slot on the axis, in pixels. @param {number} slotsAgo */
  const place = (slotsAgo) => width - (slotsAgo + passed - 1) * PITCH_PX;

  context.strokeStyle = colors.person;
  context.lineWidth = STROKE_PX;
  context.lineCap = 'round';
  context.beginPath();
  for (let ago = 1; ago < count; ago += 1) {
    const tall = relativeHeight(history.person(ago)) * most;
    if (tall < 1) continue;
    context.moveTo(place(ago), middle - GAP_PX);
    context.lineTo(place(ago), middle - GAP_PX - tall);
  }
  context.stroke();

  context.fillStyle = colors.voice;
  context.beginPath();
  context.moveTo(place(0), middle + 1);
  for (let ago = 1; ago < count; ago += 1) {
    const here = middle + 1 + relativeHeight(history.voice(ago)) * most;
    const next = middle + 1 + relativeHeight(history.voice(ago + 1)) * most;
    context.quadraticCurveTo(place(ago), here, place(ago + 0.5), (here + next) / 2);
  }
  context.lineTo(place(count), middle + 1);
  context.fill();
}

/**
 * Draw the current levels as two bars.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {LevelHistory} history
 */
function drawBars(context, { width, middle, colors }, history) {
  context.fillStyle = colors.person;
  for (let long = PITCH_PX; long < relativeHeight(history.person(1)) * width; long += PITCH_PX) {
    context.fillRect(width - long, middle - GAP_PX - BAR_PX, STROKE_PX, BAR_PX);
  }
  const long = relativeHeight(history.voice(1)) * width;
  context.fillStyle = colors.voice;
  context.fillRect(width - long, middle + GAP_PX, long, BAR_PX);
}
