/** The microphones and loudspeakers that the user can choose from. */

/** @typedef {{ deviceId: string, label: string }} Device */

/**
 * Return the devices. Before the user has allowed the microphone, browsers hide their names and
 * ids; a device without an id is left out. There are no outputs if the browser cannot select one.
 *
 * @returns {Promise<{ inputs: Device[], outputs: Device[] }>}
 */
export async function devices() {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const selectsOutput = 'setSinkId' in AudioContext.prototype;
  return {
    inputs: named(found, 'audioinput', 'Microphone'),
    outputs: selectsOutput ? named(found, 'audiooutput', 'Loudspeaker') : [],
  };
}

/**
 * Return the devices of one kind, each with a name.
 *
 * @param {MediaDeviceInfo[]} found
 * @param {MediaDeviceKind} kind
 * @param {string} word  the name for a device without one, to which a number is added
 * @returns {Device[]}
 */
function named(found, kind, word) {
  return found
    .filter((device) => device.kind === kind && device.deviceId !== '')
    .map(({ deviceId, label }, index) => ({ deviceId, label: label || `${word} ${index + 1}` }));
}
