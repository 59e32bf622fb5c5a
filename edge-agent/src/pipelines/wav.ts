/** Sound as it lies in a WAV file, all channels mixed into one. */
export interface Recording {
  readonly sampleRate: number;
  /** -1..1 */
  readonly samples: Float32Array;
}

const [PCM, FLOAT, EXTENSIBLE] = [1, 3, 0xfffe];

interface Format {
  readonly kind: number;
  readonly channels: number;
  readonly sampleRate: number;
  readonly bits: number;
}

/**
 * Reads a RIFF WAVE file: PCM of 8, 16, 24 or 32 bits, or floats of 32.
 * @returns undefined for what is no such file
 */
export function readWav(bytes: Uint8Array): Recording | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || text(0) !== "RIFF" || text(8) !== "WAVE") return undefined;
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = text(at);
    const start = at + 8;
    // A recorder that was cut off leaves a size beyond the end, or none.
    const size = Math.min(view.getUint32(at + 4, true), bytes.length - start);
    if (name === "fmt " && size >= 16) format = readFormat(view, start, size);
    if (name === "data") return format && mix(view, start, size, format);
    at = start + size + (size % 2);
  }
  return undefined;
}

function readFormat(view: DataView, at: number, size: number): Format {
  const tag = view.getUint16(at, true);
  return {
    kind: tag === EXTENSIBLE && size >= 26 ? view.getUint16(at + 24, true) : tag,
    channels: view.getUint16(at + 2, true),
    sampleRate: view.getUint32(at + 4, true),
    bits: view.getUint16(at + 14, true),
  };
}

function mix(
  view: DataView,
  start: number,
  size: number,
  { kind, channels, sampleRate, bits }: Format,
): Recording | undefined {
  const read = readerOf(view, kind, bits);
  if (read === undefined || channels === 0 || sampleRate === 0) return undefined;
  const width = bits / 8;
  const samples = new Float32Array(Math.floor(size / (width * channels)));
  for (let index = 0; index < samples.length; index++) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel++)
      sum += read(start + (index * channels + channel) * width);
    samples[index] = sum / channels;
  }
  return { sampleRate, samples };
}

function readerOf(view: DataView, kind: number, bits: number): ((at: number) => number) | undefined {
  if (kind === FLOAT && bits === 32) return (at) => finite(view.getFloat32(at, true));
  if (kind !== PCM) return undefined;
  switch (bits) {
    case 8:
      return (at) => (view.getUint8(at) - 128) / 2 ** 7;
    case 16:
      return (at) => view.getInt16(at, true) / 2 ** 15;
    case 24:
      return (at) => (view.getInt8(at + 2) * 2 ** 16 + view.getUint16(at, true)) / 2 ** 23;
    case 32:
      return (at) => view.getInt32(at, true) / 2 ** 31;
    default:
      return undefined;
  }
}

const finite = (value: number) => (Number.isFinite(value) ? value : 0);

/** Zero crossings of the filter to either side. */
const FILTER_REACH = 16;

/** The same sound at another rate: band-limited by a sinc under a Hann window. */
export function resample({ sampleRate, samples }: Recording, target: number): Float32Array {
  if (sampleRate === target) return samples;
  const cutoff = Math.min(1, target / sampleRate);
  const reach = FILTER_REACH / cutoff;
  const result = new Float32Array(Math.floor((samples.length * target) / sampleRate));
  for (let index = 0; index < result.length; index++) {
    const middle = (index * sampleRate) / target;
    const first = Math.max(0, Math.ceil(middle - reach));
    const last = Math.min(samples.length - 1, Math.floor(middle + reach));
    let sum = 0;
    for (let at = first; at <= last; at++) {
      const distance = at - middle;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / reach);
      sum += (samples[at] ?? 0) * cutoff * sinc(cutoff * distance) * window;
    }
    result[index] = sum;
  }
  return result;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
