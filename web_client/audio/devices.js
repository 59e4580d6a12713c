/** The microphones and loudspeakers to choose from. */

/** @typedef {{ deviceId: string, label: string }} Device */

/**
 * What there is. Before the user has allowed the microphone, browsers tell no names and no ids;
 * a device without id is left out. No outputs where the browser offers no choice of them.
 * @returns {Promise<{ inputs: Device[], outputs: Device[] }>}
 */
export async function devices() {
  const found = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const chosen = 'setSinkId' in AudioContext.prototype;
  return {
    inputs: named(found, 'audioinput', 'Microphone'),
    outputs: chosen ? named(found, 'audiooutput', 'Loudspeaker') : [],
  };
}

/**
 * @param {MediaDeviceInfo[]} found
 * @param {MediaDeviceKind} kind
 * @param {string} word for a device without a name
 * @returns {Device[]}
 */
function named(found, kind, word) {
  return found
    .filter((device) => device.kind === kind && device.deviceId !== '')
    .map(({ deviceId, label }, index) => ({ deviceId, label: label || `${word} ${index + 1}` }));
}
