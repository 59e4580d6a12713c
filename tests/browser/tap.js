/**
 * Put into the page before its own scripts: keeps what goes to the loudspeaker, and when flushes
 * came, both by the clock of the AudioContext.
 *
 *     window.tap.chunks()    [{at: index of the first sample, pcm: base64 of s16le}]
 *     window.tap.flushes     [{epoch, atS, latencyS}]
 */
(() => {
  const tap = { rateHz: 0, flushes: [], played: [] };
  window.tap = tap;
  /** @type {AudioContext | null} */
  let newest = null;
  const taps = new WeakMap();
  const connect = AudioNode.prototype.connect;

  tap.chunks = () =>
    tap.played.map(({ at, samples }) => {
      const pcm = Int16Array.from(samples, (sample) => 32767 * Math.max(-1, Math.min(1, sample)));
      return { at, pcm: btoa(String.fromCharCode(...new Uint8Array(pcm.buffer))) };
    });

  async function tapOf(context) {
    await context.audioWorklet.addModule('/tap-worklet.js');
    const node = new AudioWorkletNode(context, 'tap', { channelCount: 1 });
    node.port.onmessage = ({ data }) => tap.played.push(data);
    connect.call(node, context.destination); // silent; a node that leads nowhere need not run
    return node;
  }

  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const { context } = this;
      newest = context;
      tap.rateHz = context.sampleRate;
      if (!taps.has(context)) taps.set(context, tapOf(context));
      void taps.get(context).then((node) => connect.call(this, node));
    }
    return connect.call(this, target, ...rest);
  };

  window.WebSocket = class extends WebSocket {
    constructor(...where) {
      super(...where);
      this.addEventListener('message', ({ data }) => {
        if (typeof data !== 'string' || !newest) return;
        const { type, epoch } = JSON.parse(data);
        if (type !== 'flush') return;
        tap.flushes.push({ epoch, atS: newest.currentTime, latencyS: newest.outputLatency });
      });
    }
  };
})();
