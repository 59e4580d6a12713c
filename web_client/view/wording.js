/**
 * The texts about a conversation, and the main button of each state. Pure.
 *
 * An error is shown as a sentence with one next step. The step is a button: the same one that
 * starts a conversation, with another label. There is therefore always one main button, and never
 * two that compete.
 */

import { label } from '../labels.js';

/** @typedef {import('../voice-client.js').State} State */
/** @typedef {import('../sound-state.js').InputState} InputState */

/**
 * The action of the main button.
 *
 * @typedef {'start' | 'retry' | 'reload' | 'sign-in' | 'plain-voice' | 'microphone'} Act
 */

/** @typedef {{ label: string, act: Act }} Step */

/** An error that is shown. @typedef {{ text: string, step: Step }} Trouble */

/** @type {Record<State, string>} */
const WORDS = {
  idle: 'ready',
  connecting: 'connecting',
  listening: 'listening',
  hearing: 'hearing you',
  thinking: 'thinking',
  tool: 'using a tool',
  speaking: 'speaking',
  recovering: 'reconnecting',
  reconnecting: 'reconnecting',
  ended: 'ended',
};

/**
 * What decides whether the user is heard.
 *
 * @typedef {{ muted: boolean, pushToTalk: boolean, talking: boolean, input: InputState,
 *   stalled: boolean }} Hearing
 */

/**
 * Return the state in words. 'listening' is shown only while the microphone is heard.
 *
 * @param {State} state
 * @param {Hearing} hearing
 */
export function stateInWords(state, { muted, pushToTalk, talking, input, stalled }) {
  if (isLive(state) && stalled) return label('sound stopped');
  if (state !== 'listening') return label(WORDS[state]);
  if (input === 'missing') return label('no microphone');
  if (input === 'muted') return label('muted by the system');
  if (muted) return label('muted');
  return label(pushToTalk && !talking ? 'waiting for you' : WORDS.listening);
}

/**
 * Return what screen readers announce of a state; '' for the states of a conversation that goes
 * well, which are heard: announcing each of them would talk over the answer.
 *
 * @param {State} state
 * @param {Hearing} hearing
 */
export function announcement(state, hearing) {
  const words = stateInWords(state, hearing);
  const isWaiting = words === label('waiting for you');
  const isTrouble = hearing.stalled || (state === 'listening' && !isWaiting);
  const isChange = isAtRest(state) || !isLive(state) || state === 'recovering';
  return isTrouble || isChange ? words : '';
}

/** Return the name of a voice for display. @param {string} voice */
export function voiceName(voice) {
  return voice ? voice.charAt(0).toUpperCase() + voice.slice(1) : label('Voice');
}

/** Return whether there is no conversation. @param {State} state */
export function isAtRest(state) {
  return state === 'idle' || state === 'ended';
}

/** Return whether the server listens, as far as is known. @param {State} state */
export function isLive(state) {
  return !isAtRest(state) && state !== 'connecting' && state !== 'reconnecting';
}

/** Return a latency in seconds, with one decimal. @param {number} responseMs */
export function seconds(responseMs) {
  return label('{number} s', { number: (responseMs / 1000).toFixed(1) });
}

/** @type {Step} */
const TRY_AGAIN = { label: 'Try again', act: 'start' };
/** @type {Step} */
const START_AGAIN = { label: 'Start again', act: 'start' };
/** @type {Step} */
const RELOAD = { label: 'Reload the page', act: 'reload' };
/** @type {Step} */
const SIGN_IN = { label: 'Sign in again', act: 'sign-in' };

/** @type {Step} */
const USE_MICROPHONE = { label: 'Use the microphone', act: 'microphone' };

/** Next steps by close code of README.md, where it is not to try again. */
const STEPS = new Map([
  [1000, START_AGAIN],
  [1009, RELOAD],
  [4000, RELOAD],
  [4001, RELOAD],
  [4002, RELOAD],
  [4003, RELOAD],
  [4004, RELOAD],
  [4005, RELOAD],
  [4006, /** @type {Step} */ ({ label: 'Use the default voice', act: 'plain-voice' })],
  [4010, SIGN_IN],
  [4011, SIGN_IN],
  [4012, SIGN_IN],
  [4014, START_AGAIN],
  [4023, RELOAD],
  [4025, START_AGAIN],
  [4026, START_AGAIN],
  [4032, START_AGAIN],
  [4034, START_AGAIN],
  [4035, START_AGAIN],
  [4027, /** @type {Step} */ ({ label: 'Talk here instead', act: 'start' })],
]);

/**
 * Return the next step after a conversation that ended with `code`.
 *
 * @param {unknown} code  the close code, or the code of an error
 * @returns {Step}
 */
export function nextStep(code) {
  return (typeof code === 'number' && STEPS.get(code)) || TRY_AGAIN;
}

/**
 * Return the label and the action of the main button.
 *
 * @param {State} state
 * @param {Trouble | null} trouble
 * @param {InputState} [input]
 * @returns {Step | null}  null if there is no button in this state
 */
export function mainStep(state, trouble, input = 'open') {
  if (state === 'reconnecting') return { label: 'Try now', act: 'retry' };
  if (isLive(state) && input === 'missing') return USE_MICROPHONE;
  if (!isAtRest(state)) return null;
  if (trouble) return trouble.step;
  return state === 'idle' ? { label: 'Start talking', act: 'start' } : START_AGAIN;
}
