/** The sound settings: microphone, loudspeaker, volume, push-to-talk and the next voice. */

import { devices } from '../audio/devices.js';
import { label } from '../labels.js';
import { element } from './element.js';
import { voiceName } from './wording.js';

/** @typedef {import('../audio/devices.js').Device} Device */
/** @typedef {import('../messages.js').VoiceChoice} VoiceChoice */

/**
 * The callbacks of the settings. `onVoice` is called with '' for the server's choice.
 *
 * @typedef {{ onDevices: (chosen: { input: string, output: string }) => void,
 *   onPushToTalk: (on: boolean) => void, onVolume: (volume: number) => void,
 *   onVoice: (voice: string) => void }} SoundActions
 */

/** The form of the sound settings. */
export class SoundChoice {
  #input = element('select', { id: 'input' });
  #output = element('select', { id: 'output' });
  #volume = element('input', { type: 'range', id: 'volume', min: '0', max: '100', value: '100' });
  #voice = element('select', { id: 'voice' });
  #voiceLabel = labelled(label('Next voice'), this.#voice);
  #hold = element('input', { type: 'checkbox', id: 'hold-to-talk' });

  /** @param {SoundActions} actions */
  constructor({ onDevices, onPushToTalk, onVolume, onVoice }) {
    // The loudspeaker can be chosen only if an AudioContext can be told which one to use.
    const choosesOutput = 'setSinkId' in AudioContext.prototype;
    this.#voiceLabel.hidden = true;
    this.node = element(
      'fieldset',
      { class: 'sound', id: 'sound', hidden: true },
      element('legend', { class: 'unseen' }, label('Sound')),
      labelled(label('Microphone'), this.#input),
      ...(choosesOutput ? [labelled(label('Loudspeaker'), this.#output)] : []),
      labelled(label('Volume'), this.#volume),
      this.#voiceLabel,
      element('label', { class: 'check' }, this.#hold, label('Push to talk')),
    );
    for (const select of [this.#input, this.#output]) {
      fill(select, []);
      select.addEventListener('change', () =>
        onDevices({ input: this.#input.value, output: this.#output.value }),
      );
    }
    this.#volume.addEventListener('input', () => onVolume(this.#volume.valueAsNumber / 100));
    this.#voice.addEventListener('change', () => onVoice(this.#voice.value));
    this.#hold.addEventListener('change', () => onPushToTalk(this.#hold.checked));
  }

  /** The chosen microphone; '' is the browser's choice. */
  get input() {
    return this.#input.value;
  }

  /** List the current devices. They have no names before the user has allowed the microphone. */
  async refresh() {
    const { inputs, outputs } = await devices();
    fill(this.#input, inputs);
    fill(this.#output, outputs);
  }

  /**
   * List the voices that the server offers. There is no choice between fewer than two.
   *
   * @param {readonly VoiceChoice[]} voices
   * @param {string} chosen  the voice of the next conversation; '' is the server's choice
   */
  showVoices(voices, chosen) {
    this.#voiceLabel.hidden = voices.length < 2;
    const offered = voices.map(({ id, languages }) => ({
      deviceId: id,
      label: `${voiceName(id)} (${languages.join(', ')})`,
    }));
    fill(this.#voice, offered);
    this.#voice.value = voices.some(({ id }) => id === chosen) ? chosen : '';
  }
}

/**
 * Return a setting with its label.
 *
 * @param {string} name
 * @param {HTMLElement} control
 */
function labelled(name, control) {
  return element('label', {}, element('span', {}, name), control);
}

/**
 * Fill a selection, and keep the choice if it is still there.
 *
 * @param {HTMLSelectElement} select
 * @param {readonly Device[]} found
 */
function fill(select, found) {
  const chosen = select.value;
  const named = found.filter((device) => device.deviceId && device.deviceId !== 'default');
  select.replaceChildren(
    element('option', { value: '' }, label('Default')),
    ...named
      .filter((device) => device.label)
      .map((device) => element('option', { value: device.deviceId }, device.label)),
  );
  select.value = named.some(({ deviceId }) => deviceId === chosen) ? chosen : '';
}
