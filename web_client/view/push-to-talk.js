/**
 * Push-to-talk: holding a button, or the space bar, to talk.
 *
 * The space bar belongs to the page: it has this effect only while no field and no other button has
 * the focus. Every event that may end a hold ends it, such as a window that loses the focus or a
 * touch that is cancelled, because a microphone must never stay open by mistake. Assistive
 * technology cannot hold a button: its click switches talking on, and the next click off.
 */

/** Elements that use the space bar themselves. */
const OWN_SPACE =
  'a[href], button, input, select, summary, textarea, audio, video, iframe, [role]:not([role=log])';

/**
 * Return whether the element in which the space bar was pressed uses it itself.
 *
 * @param {EventTarget | undefined} target  the innermost target, across shadow roots
 * @param {Element} button  the push-to-talk button
 */
export function ownsSpace(target, button) {
  if (target === button || !(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches(OWN_SPACE);
}

/** Return whether an event was handled elsewhere or is a shortcut. @param {KeyboardEvent} event */
function isTaken(event) {
  return event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey;
}

/** The push-to-talk button and its keys. */
export class PushToTalk {
  #button;
  #onTalking;
  #talking = false;
  #enabled = false;
  #listening = new AbortController();

  /**
   * @param {HTMLButtonElement} button
   * @param {(talking: boolean) => void} onTalking  called when talking begins and ends
   */
  constructor(button, onTalking) {
    this.#button = button;
    this.#onTalking = onTalking;
    button.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      this.#set(true);
    });
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      button.addEventListener(type, () => this.#set(false));
    }
    button.addEventListener('contextmenu', (event) => event.preventDefault());
    button.addEventListener('click', (event) => {
      if (event.detail === 0) this.#set(!this.#talking);
    });
  }

  /** Set whether push-to-talk is available now. @param {boolean} enabled */
  set enabled(enabled) {
    this.#enabled = enabled;
    if (!enabled) this.#set(false);
  }

  /** Start to listen to the keys of the page. */
  listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener('keydown', (event) => this.#key(event, true), { signal });
    addEventListener('keyup', (event) => this.#key(event, false), { signal });
    addEventListener('blur', () => this.#set(false), { signal });
    document.addEventListener('visibilitychange', () => this.#set(false), { signal });
  }

  /** Stop listening to the keys, and stop talking. */
  leave() {
    this.#listening.abort();
    this.#set(false);
  }

  /**
   * Handle a key of the page.
   *
   * @param {KeyboardEvent} event
   * @param {boolean} down  whether it was pressed rather than released
   */
  #key(event, down) {
    const target = event.composedPath()[0];
    const held = event.key === ' ' || (event.key === 'Enter' && target === this.#button);
    if (!held || !this.#enabled) return;
    if (!down) this.#set(false);
    if (ownsSpace(target, this.#button) || isTaken(event)) return;
    event.preventDefault(); // otherwise the page scrolls, and the button is clicked as well
    if (down && !event.repeat) this.#set(true);
  }

  /** Begin or end talking. @param {boolean} talking */
  #set(talking) {
    const now = talking && this.#enabled;
    if (now === this.#talking) return;
    this.#talking = now;
    this.#button.setAttribute('aria-pressed', String(now));
    this.#onTalking(now);
  }
}
