/** What an agent tells about itself at /metrics. */

/** Of the one series with this name and these labels; undefined when there is none. */
export async function readMetric(
  healthPort: number,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number | undefined> {
  const reply = await fetch(`http://127.0.0.1:${healthPort}/metrics`);
  return metricOf(await reply.text(), name, labels);
}

export function metricOf(
  text: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined {
  for (const line of text.split("\n")) {
    const [, found, shown = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    const hasAll = Object.entries(labels).every(([key, wanted]) => shown.includes(`${key}="${wanted}"`));
    if (found === name && hasAll) return Number(value);
  }
  return undefined;
}
