import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TestInstallation } from "../support/installation.ts";

/** Size of what an agent has on its disk for results that are not accepted yet. */
export function outboxBytes({ dir }: TestInstallation, node: string): number {
  const folder = join(dir, "agents", node, "outbox");
  // A segment may go between the two looks.
  const sizes = readdirSync(folder).map(
    (file) => statSync(join(folder, file), { throwIfNoEntry: false })?.size ?? 0,
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
