/** The options of a `VoiceClient`. */

import { NO_ADDRESS, NO_TOKEN, VoiceError } from './closing.js';
import { SUBPROTOCOL } from './messages.js';

/** @import { DeviceClasses } from './sound.js' */
/** @import { VoiceClient } from './voice-client.js' */

/**
 * Where to connect: the URL of a WebSocket, and the subprotocols to offer, `[]` for none.
 *
 * @typedef {{ url: string | URL, protocols: string[] }} Address
 */

/**
 * The options of a client; README.md describes them.
 *
 * @typedef {{ url?: string | URL, token?: string, voice?: string, language?: string,
 *   fetchToken?: (() => string | Promise<string>) | undefined,
 *   fetchAddress?: (() => Address | Promise<Address>) | undefined, sound?: DeviceClasses,
 *   storageKey?: string | undefined, after?: VoiceClient | null }} Options
 */

/**
 * Return the address of the server's WebSocket.
 *
 * @param {string | URL | undefined} url  the option; empty for the one beside this module
 */
export function talkUrl(url) {
  const found = url ? new URL(url, globalThis.location?.href) : new URL('./talk', import.meta.url);
  found.protocol = found.protocol.replace('http', 'ws');
  return found;
}

/**
 * Return where to connect next.
 *
 * @param {URL} url  the address of the server, if the application names no other
 * @param {Options['fetchAddress']} fetchAddress
 * @returns {Promise<{ url: URL, protocols: string[] }>}
 * @throws {VoiceError} if the application names none
 */
export async function nextAddress(url, fetchAddress) {
  if (!fetchAddress) return { url, protocols: [SUBPROTOCOL] };
  try {
    const address = await fetchAddress();
    return { url: talkUrl(address.url), protocols: [...address.protocols] };
  } catch (cause) {
    throw new VoiceError(NO_ADDRESS, { cause });
  }
}

/**
 * Return the token for a new conversation.
 *
 * @param {NonNullable<Options['fetchToken']>} fetchToken
 * @throws {VoiceError} if there is none
 */
export async function nextToken(fetchToken) {
  try {
    return await fetchToken();
  } catch (cause) {
    throw new VoiceError(NO_TOKEN, { cause });
  }
}

/** Return the chosen voice and language; '' is the server's choice. @param {Options} options */
export function choiceOf({ voice = '', language = '' }) {
  return { voice, language };
}
