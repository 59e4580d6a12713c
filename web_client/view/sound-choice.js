/** Which microphone, which loudspeaker, and whether one holds a button to talk. */

import { devices } from '../audio/devices.js';
import { element } from './element.js';

/** @typedef {import('../audio/devices.js').Device} Device */

export class SoundChoice {
  #input = element('select', { id: 'input' });
  #output = element('select', { id: 'output' });
  #hold = element('input', { type: 'checkbox', id: 'hold-to-talk' });

  /**
   * @param {{ onDevices: (chosen: { input: string, output: string }) => void,
   *   onPushToTalk: (on: boolean) => void }} actions
   */
  constructor({ onDevices, onPushToTalk }) {
    // Which loudspeaker sounds can be chosen where an AudioContext can be told so.
    const choosesOutput = 'setSinkId' in AudioContext.prototype;
    this.node = element(
      'fieldset',
      { class: 'sound', id: 'sound', hidden: true },
      element('legend', { class: 'unseen' }, 'Sound'),
      labelled('Microphone', this.#input),
      ...(choosesOutput ? [labelled('Loudspeaker', this.#output)] : []),
      element('label', { class: 'check' }, this.#hold, 'Push to talk'),
    );
    for (const select of [this.#input, this.#output]) {
      fill(select, []);
      select.addEventListener('change', () =>
        onDevices({ input: this.#input.value, output: this.#output.value }),
      );
    }
    this.#hold.addEventListener('change', () => onPushToTalk(this.#hold.checked));
  }

  /** Shows which devices there are now. Before the microphone is allowed, they have no names. */
  async look() {
    const { inputs, outputs } = await devices();
    fill(this.#input, inputs);
    fill(this.#output, outputs);
  }
}

/**
 * @param {string} name
 * @param {HTMLSelectElement} select
 */
function labelled(name, select) {
  return element('label', {}, element('span', {}, name), select);
}

/**
 * @param {HTMLSelectElement} select
 * @param {readonly Device[]} found
 */
function fill(select, found) {
  const chosen = select.value;
  const named = found.filter(({ deviceId, label }) => deviceId && deviceId !== 'default' && label);
  select.replaceChildren(
    element('option', { value: '' }, 'Default'),
    ...named.map(({ deviceId, label }) => element('option', { value: deviceId }, label)),
  );
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : '';
}
