/** The voices that a server offers, before the first conversation with it. */

/** @import { VoiceChoice } from './messages.js' */

/** Maximum time for the request, in milliseconds. */
const DEADLINE_MS = 4000;

/**
 * Return the voices that a server offers; none if it does not tell, as to a page of another site.
 *
 * @param {string} url  the address of its WebSocket
 * @returns {Promise<readonly VoiceChoice[]>}
 */
export async function offeredVoices(url) {
  const voices = new URL('./voices', url);
  voices.protocol = voices.protocol.replace('ws', 'http');
  try {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const response = await fetch(voices, { credentials: 'omit', signal });
    const found = response.ok ? await response.json() : [];
    return Array.isArray(found) ? found.filter(isVoice) : [];
  } catch {
    return []; // the choice is then not shown; connecting tells what is wrong with the server
  }
}

/** Return whether a value is a voice. @param {any} value */
function isVoice(value) {
  return typeof value?.id === 'string' && Array.isArray(value.languages);
}
