/**
 * The reason why a WebSocket could not be opened, as far as a page can find it out.
 *
 * A browser tells a page nothing about a failed handshake: neither the status, such as 426 or 400
 * from a proxy that does not pass on upgrades, nor whether the server was reached at all. The page
 * therefore requests `/healthz` beside the WebSocket, over plain HTTP.
 */

import { CLOSES, NO_SERVER, NO_UPGRADE, OFFLINE, STOPPING_CODE, UNREACHABLE } from './closing.js';

/** @import { Ending } from './closing.js' */

/** Maximum time for the request, in milliseconds. */
const DEADLINE_MS = 4000;

/** Status of a server that is stopping; the body is `stopping`. */
const UNAVAILABLE = 503;

/**
 * Return why the WebSocket at `url` could not be opened.
 *
 * @param {URL} url
 * @returns {Promise<Ending>}
 */
export async function whyUnreachable(url) {
  if (globalThis.navigator?.onLine === false) return OFFLINE;
  const health = new URL('./healthz', url);
  health.protocol = health.protocol.replace('ws', 'http');
  const signal = AbortSignal.timeout(DEADLINE_MS);
  /** @type {RequestInit} */
  const options = { cache: 'no-store', credentials: 'omit', signal };
  try {
    return await meaning(await fetch(health, options));
  } catch {
    // A site that the server does not allow may not read the response, but sees that there is one.
    return fetch(health, { ...options, mode: 'no-cors' }).then(
      () => NO_UPGRADE,
      () => UNREACHABLE,
    );
  }
}

/**
 * Return what a response means for the WebSocket.
 *
 * @param {Response} response
 * @returns {Promise<Ending>}
 */
async function meaning(response) {
  const text = (await response.text()).trim();
  if (response.ok && text === 'ok') return NO_UPGRADE;
  const isStopping = response.status === UNAVAILABLE && text === 'stopping';
  return (isStopping && CLOSES.get(STOPPING_CODE)) || NO_SERVER;
}
