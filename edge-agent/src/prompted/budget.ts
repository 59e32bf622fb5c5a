/**
 * The longest beginning of a text that fits, by halving; never a half of a surrogate pair.
 * @param fits monotone: what fits, fits when it is shorter
 * @returns undefined when not even the empty text fits
 */
export function fitText(text: string, fits: (text: string) => boolean): string | undefined {
  if (fits(text)) return text;
  if (!fits("")) return undefined;
  let fitting = 0;
  let tooLong = text.length;
  while (tooLong - fitting > 1) {
    const middle = (fitting + tooLong) >> 1;
    if (fits(beginningOf(text, middle))) fitting = middle;
    else tooLong = middle;
  }
  return beginningOf(text, fitting);
}

function beginningOf(text: string, length: number): string {
  const isHigh = (text.charCodeAt(length - 1) & 0xfc00) === 0xd800;
  return text.slice(0, isHigh ? length - 1 : length);
}
