/**
 * What controls a terminal (C0, DEL, C1), as escapes: answers of models, and what nodes say about themselves, are
 * anybody's text, and one sequence of a terminal can fill the clipboard or hide a line.
 */
export function printable(text: string): string {
  return text.replaceAll(CONTROLS, (control) => SHORT.get(control) ?? codeOf(control));
}

// oxlint-disable-next-line no-control-regex -- they are what it looks for
const CONTROLS = /[\0-\x1f\x7f-\x9f]/g;
const SHORT = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);
const codeOf = (control: string) => `\\u${control.charCodeAt(0).toString(16).padStart(4, "0")}`;
