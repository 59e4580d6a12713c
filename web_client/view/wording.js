/**
 * What is said to the person about a conversation, and what is offered in each state. Pure.
 *
 * A trouble is a sentence and one next step, and the step is a button: the same one that starts a
 * conversation, under another name. So there is always one thing to press, and never two that
 * compete.
 */

/** @typedef {import('../voice-client.js').State} State */

/**
 * What a button does.
 * @typedef {'start' | 'retry' | 'reload' | 'sign-in' | 'plain-voice'} Act
 */

/** @typedef {{ label: string, act: Act }} Step */

/** @typedef {{ text: string, step: Step }} Trouble */

/** @type {Record<State, string>} */
const WORDS = {
  idle: 'ready',
  connecting: 'connecting',
  listening: 'listening',
  hearing: 'hearing you',
  thinking: 'thinking',
  tool: 'using a tool',
  speaking: 'speaking',
  reconnecting: 'reconnecting',
  ended: 'ended',
};

/**
 * What goes on. Nobody is told that we listen while we do not.
 *
 * @param {State} state
 * @param {{ muted: boolean, pushToTalk: boolean, talking: boolean }} microphone
 */
export function stateInWords(state, { muted, pushToTalk, talking }) {
  if (state !== 'listening') return WORDS[state];
  if (muted) return 'muted';
  return pushToTalk && !talking ? 'waiting for you' : WORDS.listening;
}

/** @param {State} state  whether there is no conversation */
export function isAtRest(state) {
  return state === 'idle' || state === 'ended';
}

/** @param {State} state  whether the service listens, as far as we know */
export function isLive(state) {
  return !isAtRest(state) && state !== 'connecting' && state !== 'reconnecting';
}

/** @param {number} responseMs */
export function seconds(responseMs) {
  return `${(responseMs / 1000).toFixed(1)} s`;
}

/** @type {Step} */
const TRY_AGAIN = { label: 'Try again', act: 'start' };
/** @type {Step} */
const START_AGAIN = { label: 'Start again', act: 'start' };
/** @type {Step} */
const RELOAD = { label: 'Reload the page', act: 'reload' };
/** @type {Step} */
const SIGN_IN = { label: 'Sign in again', act: 'sign-in' };

/** The close codes of README.md whose next step is not to try again. */
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
  [4027, /** @type {Step} */ ({ label: 'Talk here instead', act: 'start' })],
]);

/**
 * The button for a conversation that ended with `code`.
 *
 * @param {unknown} code  of a WebSocket's end, or a failure's own
 * @returns {Step}
 */
export function nextStep(code) {
  return (typeof code === 'number' && STEPS.get(code)) || TRY_AGAIN;
}

/**
 * What the one main button is called and does; null: there is none now.
 *
 * @param {State} state
 * @param {Trouble | null} trouble
 * @returns {Step | null}
 */
export function mainStep(state, trouble) {
  if (state === 'reconnecting') return { label: 'Try now', act: 'retry' };
  if (!isAtRest(state)) return null;
  if (trouble) return trouble.step;
  return state === 'idle' ? { label: 'Start talking', act: 'start' } : START_AGAIN;
}
