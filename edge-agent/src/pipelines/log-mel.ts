/**
 * Log-mel energies of a sound, one column per hop:
 *
 *     frames without padding → Hann window (periodic) → power spectrum of the next power of two → triangular bands, evenly
 *     spaced on the mel scale of HTK (2595 log10(1 + f / 700)), peak 1 → natural logarithm, at least of 1e-10
 */
export interface LogMelOptions {
  readonly sampleRate: number;
  readonly mels: number;
  readonly window: number;
  readonly hop: number;
  readonly lowHertz: number;
  readonly highHertz: number;
}

const FLOOR = 1e-10;
const toMel = (hertz: number) => 2595 * Math.log10(1 + hertz / 700);
const toHertz = (mel: number) => 700 * (10 ** (mel / 2595) - 1);

/** [mels, frames], row by row; empty for a sound shorter than a window. */
export class LogMel {
  readonly #options: LogMelOptions;
  readonly #size: number;
  readonly #window: Float64Array;
  readonly #bands: readonly { readonly first: number; readonly weights: readonly number[] }[];

  constructor(options: LogMelOptions) {
    this.#options = options;
    this.#size = 2 ** Math.ceil(Math.log2(options.window));
    const { window } = options;
    this.#window = Float64Array.from(
      { length: window },
      (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / window),
    );
    this.#bands = bandsOf(options, this.#size);
  }

  framesOf(samples: number): number {
    const { window, hop } = this.#options;
    return samples < window ? 0 : 1 + Math.floor((samples - window) / hop);
  }

  run(samples: Float32Array): Float32Array {
    const { mels, window, hop } = this.#options;
    const frames = this.framesOf(samples.length);
    const energies = new Float32Array(mels * frames);
    const [real, imaginary] = [new Float64Array(this.#size), new Float64Array(this.#size)];
    for (let frame = 0; frame < frames; frame++) {
      real.fill(0);
      imaginary.fill(0);
      for (let at = 0; at < window; at++)
        real[at] = (samples[frame * hop + at] ?? 0) * (this.#window[at] ?? 0);
      transform(real, imaginary);
      for (const [band, { first, weights }] of this.#bands.entries()) {
        let energy = 0;
        for (const [index, weight] of weights.entries()) {
          const bin = first + index;
          energy += weight * ((real[bin] ?? 0) ** 2 + (imaginary[bin] ?? 0) ** 2);
        }
        energies[band * frames + frame] = Math.log(Math.max(FLOOR, energy));
      }
    }
    return energies;
  }
}

function bandsOf({ sampleRate, mels, lowHertz, highHertz }: LogMelOptions, size: number) {
  const [low, high] = [toMel(lowHertz), toMel(highHertz)];
  const edge = (index: number) => toHertz(low + ((high - low) * index) / (mels + 1));
  return Array.from({ length: mels }, (_, band) => {
    const [left, middle, right] = [edge(band), edge(band + 1), edge(band + 2)];
    const first = Math.ceil((left * size) / sampleRate);
    const last = Math.min(size / 2, Math.floor((right * size) / sampleRate));
    const weights = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => {
      const hertz = ((first + index) * sampleRate) / size;
      return Math.max(0, Math.min((hertz - left) / (middle - left), (right - hertz) / (right - middle)));
    });
    return { first, weights };
  });
}

/** Fast Fourier transform in place (Cooley and Tukey, radix 2); the length is a power of two. */
function transform(real: Float64Array, imaginary: Float64Array): void {
  const { length } = real;
  for (let at = 1, reversed = 0; at < length; at++) {
    let bit = length >> 1;
    for (; (reversed & bit) !== 0; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (at >= reversed) continue;
    [real[at], real[reversed]] = [real[reversed] ?? 0, real[at] ?? 0];
    [imaginary[at], imaginary[reversed]] = [imaginary[reversed] ?? 0, imaginary[at] ?? 0];
  }
  for (let size = 2; size <= length; size *= 2) {
    const half = size / 2;
    for (let offset = 0; offset < half; offset++) {
      const angle = (-2 * Math.PI * offset) / size;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      for (let low = offset; low < length; low += size) {
        const high = low + half;
        const [re, im] = [real[high] ?? 0, imaginary[high] ?? 0];
        const [turnedRe, turnedIm] = [re * cos - im * sin, re * sin + im * cos];
        real[high] = (real[low] ?? 0) - turnedRe;
        imaginary[high] = (imaginary[low] ?? 0) - turnedIm;
        real[low] = (real[low] ?? 0) + turnedRe;
        imaginary[low] = (imaginary[low] ?? 0) + turnedIm;
      }
    }
  }
}
