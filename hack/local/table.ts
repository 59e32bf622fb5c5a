import stringWidth from "string-width";

/** Columns lined up for a terminal, by what characters take there: Chinese ones take two cells. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(stringWidth(title), ...rows.map((row) => stringWidth(row[column] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - stringWidth(cell)))
      .join("   ")
      .trimEnd();
  return [header, ...rows].map(line).join("\n");
}

/** At most so many cells, with an ellipsis where something was cut. */
export function clip(text: string, cells: number): string {
  const flat = text.replaceAll(/\s+/g, " ").trim();
  if (stringWidth(flat) <= cells) return flat;
  let out = "";
  for (const character of flat) {
    if (stringWidth(out + character) > cells - 1) break;
    out += character;
  }
  return `${out}…`;
}
