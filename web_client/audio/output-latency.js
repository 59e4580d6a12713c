/**
 * The time from the audio graph to the ear.
 *
 * Firefox on Linux is not asked for it. There the first reading of `outputLatency` is a synchronous
 * call to the process that owns the sound. If the sound server reports a change of a device at that
 * moment, as it does when any program starts or stops a stream, both wait for each other, and the
 * page hangs for ever. Positions are then too late by the latency of the device: 20 to 50 ms, and
 * 200 ms over Bluetooth.
 */

const ASKING_MAY_HANG = /Linux.*Firefox\//;

/**
 * The members of an `AudioContext` that are read. Safari lacks `outputLatency`.
 *
 * @typedef {{ baseLatency?: number, outputLatency?: number }} Latencies
 */

/**
 * Return the output latency in seconds, as far as it is known.
 *
 * @param {Latencies} context
 * @param {string} userAgent  the browser's, as in `navigator.userAgent`
 */
export function outputLatencyS(context, userAgent) {
  const measuredS = ASKING_MAY_HANG.test(userAgent) ? 0 : context.outputLatency;
  return measuredS || context.baseLatency || 0;
}
