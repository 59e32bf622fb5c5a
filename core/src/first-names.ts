/** The first of the names, and how many more there are: a list for a message, "none" when there is none. */
export function firstNames(names: readonly string[], limit = 10): string {
  const first = names.slice(0, limit).join(", ") || "none";
  const more = names.length - limit;
  return more > 0 ? `${first} and ${more} more` : first;
}
