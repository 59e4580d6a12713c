/**
 * Both voices on one line of time. The person is drawn above it, in strokes; the model below it, as
 * one solid shape: place and form tell them apart, and colour only agrees. Now is at the right, and
 * the past drifts to the left, so that an interruption, and the wait for an answer, can be seen.
 *
 * Levels are noted for both at once, by the clock of the screen: the waves that the devices keep
 * have a time each. Nothing moves while nobody talks to anybody. Who asked for less motion gets two
 * bars that stay in place, four times a second.
 */

import { make, setText } from './view/make.js';
import { SLOTS, SLOT_MS, Strip, share } from './view/strip.js';

/** @typedef {{ wave(into: Float32Array): void }} Heard  see audio/level.js */
/** @typedef {() => { person: Heard | null, voice: Heard | null }} Ends */
/** @typedef {{ person: string, voice: string }} Inks */

/** Between two pictures for who wants less motion. */
const CALM_MS = 250;

const PITCH_PX = 4;
const STROKE_PX = 2;
const GAP_PX = 4;
const BAR_PX = 10;

export class Waveform {
  #strip = new Strip();
  /** @type {Ends} */
  #ends = () => ({ person: null, voice: null });
  #frame = 0;
  /** 40 ms, so that a slow screen misses nothing. */
  #latest = new Float32Array(2);
  #drawnMs = -Infinity;
  #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #dark = matchMedia('(prefers-color-scheme: dark)');
  /** @type {Inks | null} */
  #inks = null;

  #canvas = make('canvas', { role: 'img', 'aria-label': 'Sound: yours above, the voice below' });
  #voiceName = make('span', {}, 'Voice');

  constructor() {
    const names = make('p', { 'aria-hidden': 'true' }, make('span', {}, 'You'), this.#voiceName);
    this.node = make('div', { class: 'waveform' }, this.#canvas, names);
    new ResizeObserver(() => this.#draw(performance.now())).observe(this.#canvas);
    this.#dark.addEventListener('change', () => this.#restyle());
  }

  /** @param {Ends} ends  asked anew for each frame */
  start(ends) {
    this.#ends = ends;
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
    this.#inks = null;
    this.#draw(performance.now());
  }

  /** @param {number} nowMs */
  #next(nowMs) {
    const { person, voice } = this.#ends();
    this.#strip.note(nowMs, this.#levelOf(person), this.#levelOf(voice));
    if (!this.#calm.matches || nowMs - this.#drawnMs >= CALM_MS) this.#draw(nowMs);
    this.#frame = requestAnimationFrame((laterMs) => this.#next(laterMs));
  }

  /** @param {Heard | null} heard */
  #levelOf(heard) {
    if (!heard) return 0;
    heard.wave(this.#latest);
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
    const inks = (this.#inks ??= inksOf(canvas));
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const middle = Math.round(height / 2);
    if (this.#calm.matches) drawBars(context, { width, middle, inks }, this.#strip);
    else drawPast(context, { width, middle, inks }, this.#strip, (nowMs % SLOT_MS) / SLOT_MS);
  }
}

/** @param {Element} canvas */
function inksOf(canvas) {
  const style = getComputedStyle(canvas);
  /** @param {string} name */
  const ink = (name) => style.getPropertyValue(name).trim() || style.color;
  return { person: ink('--ink'), voice: ink('--voice') };
}

/** @typedef {{ width: number, middle: number, inks: Inks }} Sheet  in pixels of the page */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {Strip} strip
 * @param {number} passed  how much of the newest slot has passed, 0 to 1
 */
function drawPast(context, { width, middle, inks }, strip, passed) {
  const count = Math.min(Math.ceil(width / PITCH_PX) + 2, SLOTS);
  const most = middle - 2 * STROKE_PX - GAP_PX;
  /** @param {number} slotsAgo */
  const place = (slotsAgo) => width - (slotsAgo + passed - 1) * PITCH_PX;

  context.strokeStyle = inks.person;
  context.lineWidth = STROKE_PX;
  context.lineCap = 'round';
  context.beginPath();
  for (let ago = 1; ago < count; ago += 1) {
    const tall = share(strip.person(ago)) * most;
    if (tall < 1) continue;
    context.moveTo(place(ago), middle - GAP_PX);
    context.lineTo(place(ago), middle - GAP_PX - tall);
  }
  context.stroke();

  context.fillStyle = inks.voice;
  context.beginPath();
  context.moveTo(place(0), middle + 1);
  for (let ago = 1; ago < count; ago += 1) {
    const here = middle + 1 + share(strip.voice(ago)) * most;
    const next = middle + 1 + share(strip.voice(ago + 1)) * most;
    context.quadraticCurveTo(place(ago), here, place(ago + 0.5), (here + next) / 2);
  }
  context.lineTo(place(count), middle + 1);
  context.fill();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Sheet} sheet
 * @param {Strip} strip
 */
function drawBars(context, { width, middle, inks }, strip) {
  context.fillStyle = inks.person;
  for (let long = PITCH_PX; long < share(strip.person(1)) * width; long += PITCH_PX) {
    context.fillRect(width - long, middle - GAP_PX - BAR_PX, STROKE_PX, BAR_PX);
  }
  const long = share(strip.voice(1)) * width;
  context.fillStyle = inks.voice;
  context.fillRect(width - long, middle + GAP_PX, long, BAR_PX);
}
