const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Milliseconds of a duration as Go's `time.ParseDuration` reads it ("1h30m", "-1.5s", "0"); undefined for any other
 * text. OpenYurt writes `node.openyurt.io/autonomy-duration` so.
 */
export function parseGoDurationMs(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  const unsigned = text.replace(/^[+-]/, "");
  if (unsigned === "0") return 0;
  if (!/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+$/.test(unsigned)) return undefined;
  let total = 0;
  for (const [, number = "", unit = ""] of unsigned.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    total += Number.parseFloat(number) * (UNIT_MS[unit] ?? 0);
  }
  return sign * total;
}
