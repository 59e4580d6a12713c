/**
 * A conversation through the AWS SDK for JavaScript, whose HTTP/2 is that of Node.
 *
 *     node talk.mjs QUESTION.wav '{"voice": "matthew", "speed": 4}'
 *
 * Endpoint, region, credentials and CA come from the environment alone. The recording is sent
 * `speed` times faster than life, then silence, until the last answer has been played. The one
 * tool, `go`, returns its own arguments. What comes is printed as JSON, one object a line; an
 * error is the last of them, with exit code 1.
 *
 * Playback follows the input, a millisecond of the answer for each of the question: so a barge-in
 * finds the same sound unplayed at any speed.
 */

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BedrockRuntimeClient,
  InvokeModelWithBidirectionalStreamCommand,
} from "@aws-sdk/client-bedrock-runtime";

const INPUT_HZ = 16_000;
const OUTPUT_HZ = 24_000;
const CHUNK_MS = 32;
const BYTES_PER_MS = (2 * INPUT_HZ) / 1000;
const CHUNK_BYTES = CHUNK_MS * BYTES_PER_MS;

const IN_PROMPT = { promptName: "prompt" };
const IN_AUDIO = { ...IN_PROMPT, contentName: "audio" };
const TEXT = { mediaType: "text/plain" };
const GO = {
  type: "object",
  properties: { direction: { enum: ["forward", "backward"] }, meters: { type: "integer" } },
  required: ["direction", "meters"],
};

const [path, settings = "{}"] = process.argv.slice(2);
const { model, voice, speed } = {
  model: "amazon.nova-2-sonic-v1:0",
  voice: "tiffany",
  speed: 1,
  ...JSON.parse(settings),
};

const print = (line) => console.log(JSON.stringify(line));

/** The samples of a 16-bit mono WAV. */
function samples(wav) {
  for (let at = 12; at < wav.length; at += 8 + wav.readUInt32LE(at + 4)) {
    if (wav.toString("latin1", at, at + 4) === "data") {
      return wav.subarray(at + 8, at + 8 + wav.readUInt32LE(at + 4));
    }
  }
  throw new Error(`${path} has no data chunk`);
}

function lpcm(sampleRateHertz) {
  const format = { mediaType: "audio/lpcm", sampleSizeBits: 16, channelCount: 1 };
  return { ...format, sampleRateHertz, audioType: "SPEECH", encoding: "base64" };
}

/** A content block of one piece. */
function* block(contentName, start, name, content) {
  const names = { ...IN_PROMPT, contentName };
  yield { contentStart: { ...names, interactive: false, ...start } };
  yield { [name]: { ...names, content } };
  yield { contentEnd: names };
}

function* opening() {
  yield {
    sessionStart: {
      inferenceConfiguration: { maxTokens: 1024, topP: 0.9, temperature: 0.7 },
      turnDetectionConfiguration: { endpointingSensitivity: "MEDIUM" },
    },
  };
  const toolSpec = { name: "go", description: "Move.", inputSchema: { json: JSON.stringify(GO) } };
  yield {
    promptStart: {
      ...IN_PROMPT,
      textOutputConfiguration: TEXT,
      audioOutputConfiguration: { ...lpcm(OUTPUT_HZ), voiceId: voice },
      toolUseOutputConfiguration: { mediaType: "application/json" },
      toolConfiguration: { tools: [{ toolSpec }] },
    },
  };
  const system = { type: "TEXT", role: "SYSTEM", textInputConfiguration: TEXT };
  yield* block("system", system, "textInput", "You steer a small robot.");
  const audio = { type: "AUDIO", role: "USER", audioInputConfiguration: lpcm(INPUT_HZ) };
  yield { contentStart: { ...IN_AUDIO, interactive: true, ...audio } };
}

function* closing() {
  yield { contentEnd: IN_AUDIO };
  yield { promptEnd: IN_PROMPT };
  yield { sessionEnd: {} };
}

function* result(call) {
  const toolResultInputConfiguration = {
    toolUseId: call.toolUseId,
    type: "TEXT",
    textInputConfiguration: TEXT,
  };
  const start = { type: "TOOL", role: "TOOL", toolResultInputConfiguration };
  yield* block(`result-${call.toolUseId}`, start, "toolResult", call.content);
}

class Conversation {
  #pcm;
  #sentMs = 0;
  #playedMs = 0; // when all sound so far will have been played
  #results = []; // events to be sent with the next audio
  #blocks = new Map(); // the contentStart of each contentId
  #answered = true;

  constructor(pcm) {
    this.#pcm = pcm;
  }

  /** All that is sent, at the pace of the recording. */
  async *events() {
    yield* opening();
    const began = performance.now();
    while (!this.#done) {
      yield* this.#results.splice(0);
      yield { audioInput: { ...IN_AUDIO, content: this.#chunk().toString("base64") } };
      this.#sentMs += CHUNK_MS;
      await sleep(Math.max(0, began + this.#sentMs / speed - performance.now()));
    }
    yield* closing();
  }

  get #done() {
    const heard = this.#sentMs * BYTES_PER_MS > this.#pcm.length;
    return heard && this.#answered && this.#sentMs > this.#playedMs;
  }

  /** The next of the recording; silence after it. */
  #chunk() {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    this.#pcm.subarray(this.#sentMs * BYTES_PER_MS).copy(chunk);
    return chunk;
  }

  /** Takes one output event. */
  take([name, body]) {
    switch (name) {
      case "userSpeechStart":
        this.#answered = false;
        break;
      case "contentStart":
        this.#blocks.set(body.contentId, body);
        break;
      case "textOutput":
        this.#text(body);
        break;
      case "audioOutput":
        this.#play(Buffer.from(body.content, "base64").length / ((2 * OUTPUT_HZ) / 1000));
        break;
      case "toolUse":
        print({ tool: body.toolName, arguments: JSON.parse(body.content) });
        this.#results.push(...result(body));
        break;
      case "contentEnd":
        this.#answered ||= body.type === "AUDIO" && body.stopReason === "END_TURN";
        break;
      case "completionEnd":
        print({ end: body.stopReason });
        break;
    }
  }

  #text(body) {
    const { role, additionalModelFields } = this.#blocks.get(body.contentId);
    if (body.content.startsWith("{") && JSON.parse(body.content).interrupted) {
      const droppedMs = Math.round(this.#playedMs - this.#sentMs);
      print({ interrupted: true, atMs: this.#sentMs, droppedMs });
      this.#playedMs = this.#sentMs;
    } else {
      const { generationStage } = JSON.parse(additionalModelFields);
      print({ role, stage: generationStage, text: body.content });
    }
  }

  #play(ms) {
    this.#playedMs = Math.max(this.#playedMs, this.#sentMs) + ms;
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function* chunks(events) {
  for await (const event of events) {
    yield { chunk: { bytes: encoder.encode(JSON.stringify({ event })) } };
  }
}

try {
  const conversation = new Conversation(samples(await readFile(path)));
  const { body } = await new BedrockRuntimeClient().send(
    new InvokeModelWithBidirectionalStreamCommand({
      modelId: model,
      body: chunks(conversation.events()),
    }),
  );
  for await (const { chunk } of body) {
    for (const event of Object.entries(JSON.parse(decoder.decode(chunk.bytes)).event)) {
      conversation.take(event);
    }
  }
} catch (error) {
  print({ error: error.name, status: error.$metadata?.httpStatusCode, message: error.message });
  process.exit(1);
}
