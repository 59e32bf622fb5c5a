import { activate, type Activation } from "./activation.ts";
import { decodeCtc } from "./ctc.ts";
import { LogMel } from "./log-mel.ts";
import type { CtcSpeechConfig } from "./media-config.ts";
import {
  floatsOf,
  roundScore,
  type Pipeline,
  type PipelineItem,
  type PipelineResult,
  type RunHooks,
  type Session,
} from "./pipeline.ts";
import { readWav, resample } from "./wav.ts";

const NOT_READABLE: PipelineResult = {
  error: {
    code: "ItemInvalid",
    message: "the item is no recording that can be read: a PCM or float WAV file is needed",
  },
};
const TOO_SHORT: PipelineResult = {
  error: { code: "ItemInvalid", message: "the recording is shorter than a frame" },
};

/** What goes into the graph for one recording. */
interface Features {
  readonly values: Float32Array;
  readonly dims: readonly number[];
  /** Samples or frames. */
  readonly length: number;
}

/** Speech of a WAV file: samples at the model's rate → samples or log-mel energies → CTC tokens → words. */
export class CtcSpeech implements Pipeline {
  readonly taskTypes = ["automatic-speech-recognition"] as const;
  readonly batching: Pipeline["batching"] = { maxItems: 1, maxLength: 1 };
  readonly sample: () => PipelineItem;
  readonly #session: Session;
  readonly #config: CtcSpeechConfig;
  readonly #logMel: LogMel | undefined;
  readonly #silent: ReadonlySet<string>;

  constructor(session: Session, config: CtcSpeechConfig) {
    this.#session = session;
    this.#config = config;
    const { features, sampleRate } = config;
    this.#logMel = features.form === "log-mel" ? new LogMel({ ...features, sampleRate }) : undefined;
    this.#silent = new Set(config.silent);
    const media = { type: "audio/wav", bytes: silence(sampleRate, sampleRate) };
    this.sample = () => ({ type: "automatic-speech-recognition", text: "", media, parameters: {} });
  }

  async run(items: readonly PipelineItem[], { onProgress }: RunHooks): Promise<readonly PipelineResult[]> {
    const results: PipelineResult[] = [];
    for (const item of items) {
      results.push(await this.#recognise(item));
      onProgress();
    }
    return results;
  }

  async #recognise({ media }: PipelineItem): Promise<PipelineResult> {
    const recording = media === undefined ? undefined : readWav(media.bytes);
    if (recording === undefined) return NOT_READABLE;
    const { sampleRate, maxSeconds, input, lengthInput, output, activation, tokens, blank } = this.#config;
    const seconds = recording.samples.length / recording.sampleRate;
    if (seconds > maxSeconds) {
      const message = `the recording has ${Math.ceil(seconds)} seconds, the model takes ${maxSeconds}: cut it into pieces`;
      return { error: { code: "ItemTooLong", message } };
    }
    const features = this.#featuresOf(resample(recording, sampleRate));
    if (features === undefined) return TOO_SHORT;
    const outputs = await this.#session.run({
      [input]: this.#session.float32(features.values, features.dims),
      ...(lengthInput === undefined ? {} : { [lengthInput]: this.#session.int64([features.length], [1]) }),
    });
    const probabilities = probabilitiesOf(floatsOf(outputs, output), tokens.length, activation);
    const path = decodeCtc(probabilities, {
      classes: tokens.length,
      blank,
    });
    return {
      output: {
        type: "automatic-speech-recognition",
        text: this.#textOf(path.classes),
        score: path.classes.length === 0 ? null : roundScore(path.score),
        scoreSource: path.classes.length === 0 ? "none" : "probability",
      },
    };
  }

  #featuresOf(samples: Float32Array): Features | undefined {
    const { features } = this.#config;
    if (features.form === "log-mel") {
      const frames = this.#logMel?.framesOf(samples.length) ?? 0;
      if (frames === 0) return undefined;
      const values = this.#logMel?.run(samples) ?? new Float32Array(0);
      for (let at = 0; features.standardize && at < values.length; at += frames)
        standardize(values.subarray(at, at + frames));
      return { values, dims: [1, features.mels, frames], length: frames };
    }
    if (samples.length === 0) return undefined;
    const values = features.standardize ? standardize(samples.slice()) : samples;
    return { values, dims: [1, samples.length], length: samples.length };
  }

  #textOf(classes: readonly number[]): string {
    const { tokens, wordDelimiter } = this.#config;
    return classes
      .map((index) => tokens[index] ?? "")
      .filter((token) => !this.#silent.has(token))
      .map((token) => token.replaceAll(wordDelimiter, " "))
      .join("")
      .replaceAll(/ +/g, " ")
      .trim();
  }
}

/** Each step's row as probabilities. */
function probabilitiesOf(values: Float32Array, classes: number, activation: Activation): Float32Array {
  const probabilities = new Float32Array(values.length);
  for (let row = 0; row + classes <= values.length; row += classes)
    probabilities.set(activate(values.subarray(row, row + classes), activation), row);
  return probabilities;
}

/** To mean 0 and deviation 1, in place. */
function standardize(values: Float32Array): Float32Array {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const scale = 1 / Math.sqrt(variance + 1e-7);
  for (const [index, value] of values.entries()) values[index] = (value - mean) * scale;
  return values;
}

/** A WAV file without sound: what pipelines are warmed up with. */
function silence(samples: number, sampleRate: number): Uint8Array {
  const bytes = new Uint8Array(44 + samples * 2);
  const view = new DataView(bytes.buffer);
  const put = (at: number, name: string) => bytes.set(new TextEncoder().encode(name), at);
  put(0, "RIFF");
  view.setUint32(4, bytes.length - 8, true);
  put(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  put(36, "data");
  view.setUint32(40, samples * 2, true);
  return bytes;
}
