/** A line without its end, or the notice of one that is longer than the limit and was skipped. */
export type Line = ({ readonly text: string } | { readonly tooLong: true }) & {
  /** Counted from 1, blank ones too. */
  readonly number: number;
};

/**
 * Splits at LF and CRLF. A line of more than `maxLength` UTF-16 units is not kept: it comes as `tooLong`, so that memory
 * stays bounded whatever the input.
 */
export async function* splitLines(source: AsyncIterable<string>, maxLength: number): AsyncGenerator<Line> {
  let rest = "";
  let skipping = false;
  let number = 1;
  for await (const chunk of source) {
    let from = 0;
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", from)) {
      const line = rest + chunk.slice(from, end);
      rest = "";
      from = end + 1;
      yield skipping || line.length > maxLength + 1
        ? { tooLong: true, number }
        : finished(line, maxLength, number);
      skipping = false;
      number++;
    }
    if (!skipping) rest += chunk.slice(from);
    if (rest.length > maxLength + 1) {
      rest = "";
      skipping = true;
    }
  }
  if (skipping) yield { tooLong: true, number };
  else if (rest !== "") yield finished(rest, maxLength, number);
}

function finished(line: string, maxLength: number, number: number): Line {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.length > maxLength ? { tooLong: true, number } : { text, number };
}
