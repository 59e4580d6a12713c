/**
 * What happens to a page during a conversation, besides the conversation: the network of the
 * browser, the clock of the sound, sleep, and the end of the page.
 */

import { CHECK_MS, ClockWatch } from './audio/clock-watch.js';

/**
 * The callbacks of a watch.
 *
 * - `clockS`: returns the clock of the sound in seconds; undefined while no sound is open
 * - `onOffline`, `onOnline`: the browser has lost its network, or has it again
 * - `onStalled`: the clock of the sound stands still, or advances again
 * - `onSlept`: the page was asleep for this number of seconds
 * - `onHidden`: the page may be gone in a moment
 *
 * @typedef {{ clockS: () => number | undefined, onOffline: () => void, onOnline: () => void,
 *   onStalled: (stalled: boolean) => void, onSlept: (seconds: number) => void,
 *   onHidden: () => void }} Callbacks
 */

/** A watch over the page. It keeps the screen on between `start` and `stop`. */
export class PageWatch {
  #callbacks;
  #listening = new AbortController();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #clock = new ClockWatch();
  #stalled = false;
  /** @type {WakeLockSentinel | null} */
  #screen = null;

  /** @param {Callbacks} callbacks */
  constructor(callbacks) {
    this.#callbacks = callbacks;
  }

  /** Start to watch. */
  start() {
    this.stop();
    const { signal } = (this.#listening = new AbortController());
    const { onOffline, onOnline, onHidden } = this.#callbacks;
    const { window, document } = globalThis;
    window?.addEventListener('offline', onOffline, { signal });
    window?.addEventListener('online', onOnline, { signal });
    window?.addEventListener('pagehide', onHidden, { signal });
    const changed = () => {
      if (document.visibilityState === 'hidden') onHidden();
      else void this.#keepScreenOn(signal);
    };
    document?.addEventListener('visibilitychange', changed, { signal });
    this.#clock = new ClockWatch();
    this.#stalled = false;
    this.#timer = setInterval(() => this.#check(), CHECK_MS);
    void this.#keepScreenOn(signal);
  }

  /** Stop watching. May be called again. */
  stop() {
    this.#listening.abort();
    clearInterval(this.#timer);
    const screen = this.#screen;
    this.#screen = null;
    void screen?.release();
  }

  /** Check the clock of the sound, and report what has changed. */
  #check() {
    const clockS = this.#callbacks.clockS();
    if (clockS === undefined) return;
    const { stalled, sleptS } = this.#clock.check(Date.now(), clockS);
    if (sleptS) this.#callbacks.onSlept(sleptS);
    if (stalled === this.#stalled) return;
    this.#stalled = stalled;
    this.#callbacks.onStalled(stalled);
  }

  /**
   * Keep the screen on: a phone whose screen goes off may stop the microphone. The browser releases
   * the lock when the page is hidden.
   *
   * @param {AbortSignal} signal  releases it
   */
  async #keepScreenOn(signal) {
    try {
      const screen = await globalThis.navigator?.wakeLock?.request('screen');
      if (!signal.aborted) this.#screen = screen ?? null;
      else await screen?.release();
    } catch (error) {
      // A low battery or a hidden page. A sleep that follows is noticed by the clock.
      if (!(error instanceof DOMException)) throw error;
    }
  }
}
