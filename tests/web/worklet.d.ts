// What an AudioWorkletGlobalScope has and TypeScript's library of the DOM has not.

declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
  abstract process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}

declare function registerProcessor(
  name: string,
  processor: new (options: AudioWorkletNodeOptions) => AudioWorkletProcessor,
): void;

declare const currentTime: number;
declare const sampleRate: number;
