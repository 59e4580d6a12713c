/** Passes on what it hears, with the index of its first sample; is itself silent. */
const CHUNK = 1024;

class Tap extends AudioWorkletProcessor {
  #samples = new Float32Array(CHUNK);
  #filled = 0;
  #at = 0;

  process([[heard]]) {
    // A quantum may be left out, while the page changes the graph.
    if (this.#filled === CHUNK || currentFrame !== this.#at + this.#filled) this.#post();
    if (heard) this.#samples.set(heard, this.#filled);
    else this.#samples.fill(0, this.#filled, this.#filled + 128);
    this.#filled += 128;
    return true;
  }

  #post() {
    const samples = this.#samples.slice(0, this.#filled);
    this.port.postMessage({ at: this.#at, samples });
    this.#at = currentFrame;
    this.#filled = 0;
  }
}

registerProcessor('tap', Tap);
