/** The sound settings: microphone, loudspeaker and push-to-talk. */

import { devices } from '../audio/devices.js';
import { element } from './element.js';

/** @typedef {import('../audio/devices.js').Device} Device */

/** The form of the sound settings. */
export class SoundChoice {
  #input = element('select', { id: 'input' });
  #output = element('select', { id: 'output' });
  #hold = element('input', { type: 'checkbox', id: 'hold-to-talk' });

  /**
   * @param {{ onDevices: (chosen: { input: string, output: string }) => void,
   *   onPushToTalk: (on: boolean) => void }} actions
   */
  constructor({ onDevices, onPushToTalk }) {
    // The loudspeaker can be chosen only if an AudioContext can be told which one to use.
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

  /** List the current devices. They have no names before the user has allowed the microphone. */
  async refresh() {
    const { inputs, outputs } = await devices();
    fill(this.#input, inputs);
    fill(this.#output, outputs);
  }
}

/**
 * Return a selection with its label.
 *
 * @param {string} name
 * @param {HTMLSelectElement} select
 */
function labelled(name, select) {
  return element('label', {}, element('span', {}, name), select);
}

/**
 * Fill a selection with devices, and keep the choice if it is still there.
 *
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
