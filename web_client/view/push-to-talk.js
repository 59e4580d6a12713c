/**
 * Holding a button, or the space bar, to talk.
 *
 * The space bar belongs to the page: it talks only while no field and no other button has the
 * focus. Whatever can end a hold ends it (a lost window, a cancelled touch), since a microphone
 * that stays open by mistake is the one failure nobody forgives. Assistive technology cannot hold:
 * its click switches talking on, and the next one off.
 */

/** Elements that do something of their own with the space bar. */
const OWN_SPACE =
  'a[href], button, input, select, summary, textarea, audio, video, iframe, [role]:not([role=log])';

/**
 * Whether the space bar, pressed in `target`, is that element's own.
 *
 * @param {EventTarget | undefined} target  the innermost, across shadow roots
 * @param {Element} button  the one that is held
 */
export function ownsSpace(target, button) {
  if (target === button || !(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches(OWN_SPACE);
}

/** @param {KeyboardEvent} event  whether it is somebody else's */
function isTaken(event) {
  return event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey;
}

export class PushToTalk {
  #button;
  #onTalking;
  #talking = false;
  #enabled = false;
  #listening = new AbortController();

  /**
   * @param {HTMLButtonElement} button
   * @param {(talking: boolean) => void} onTalking
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

  /** @param {boolean} enabled  whether it is offered now */
  set enabled(enabled) {
    this.#enabled = enabled;
    if (!enabled) this.#set(false);
  }

  /** Listens to the keys of the page. */
  listen() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener('keydown', (event) => this.#key(event, true), { signal });
    addEventListener('keyup', (event) => this.#key(event, false), { signal });
    addEventListener('blur', () => this.#set(false), { signal });
    document.addEventListener('visibilitychange', () => this.#set(false), { signal });
  }

  /** Lets go of the keys, and of the talk. */
  leave() {
    this.#listening.abort();
    this.#set(false);
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} down
   */
  #key(event, down) {
    const target = event.composedPath()[0];
    const held = event.key === ' ' || (event.key === 'Enter' && target === this.#button);
    if (!held || !this.#enabled) return;
    if (!down) this.#set(false);
    if (ownsSpace(target, this.#button) || isTaken(event)) return;
    event.preventDefault(); // or the page scrolls, and the button is clicked as well
    if (down && !event.repeat) this.#set(true);
  }

  /** @param {boolean} talking */
  #set(talking) {
    const now = talking && this.#enabled;
    if (now === this.#talking) return;
    this.#talking = now;
    this.#button.setAttribute('aria-pressed', String(now));
    this.#onTalking(now);
  }
}
