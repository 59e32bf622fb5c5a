import { AutoglmError } from "./errors.ts";

/** Kubernetes quantity suffixes that make sense for memory, in bytes. */
const SUFFIX_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** The subset of Kubernetes quantities that names an amount of memory; RE2-safe, used in the CRD as well. */
export const QUANTITY_PATTERN = "^[0-9]+(\\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$";
const QUANTITY = new RegExp(QUANTITY_PATTERN);

/**
 * Bytes of a Kubernetes memory quantity, rounded up.
 * @throws AutoglmError `InvalidQuantity`
 */
export function parseQuantityBytes(quantity: string): number {
  if (!QUANTITY.test(quantity)) {
    throw new AutoglmError(
      "InvalidQuantity",
      `"${quantity}" is not a memory quantity; write 512Mi, 4Gi or 6G`,
      {
        details: { quantity },
      },
    );
  }
  const suffix = quantity.replace(/^[0-9.]+/, "");
  return Math.ceil(Number.parseFloat(quantity) * (SUFFIX_BYTES[suffix] ?? 1));
}

/** Shortest binary quantity with at most one decimal, rounded down: 4080218931 → "3.8Gi". */
export function formatQuantity(bytes: number): string {
  for (const suffix of ["Ti", "Gi", "Mi", "Ki"] as const) {
    const unit = SUFFIX_BYTES[suffix] ?? 1;
    if (bytes >= unit) return `${Math.floor((bytes / unit) * 10) / 10}${suffix}`;
  }
  return `${Math.max(0, Math.floor(bytes))}`;
}
