import type { WorkPrompt } from "@autoglm/api";

type Example = WorkPrompt["examples"][number];

/**
 * Examples in a fixed order: balanced over outputs, so that none is the majority, and dealt round by round, so that no
 * label stands at the end several times; within a label by a hash of the text. The order in which they were written
 * changes nothing.
 * @param labels examples with another output are left out; undefined: outputs are no labels, all are taken
 */
export function orderExamples(
  examples: readonly Example[],
  labels: readonly string[] | undefined,
): readonly Example[] {
  const byHash = [...examples].sort((a, b) => hashOf(a) - hashOf(b) || compareText(a.input, b.input));
  if (labels === undefined) return byHash;
  const ofLabel = labels
    .map((label) => byHash.filter(({ output }) => output === label))
    .filter((of) => of.length > 0);
  const rounds = Math.min(...ofLabel.map((of) => of.length));
  const dealt: Example[] = [];
  for (let round = 0; round < rounds && ofLabel.length > 0; round++) {
    // Every second round backwards: the label that ended a round begins the next.
    const turn = round % 2 === 0 ? ofLabel : [...ofLabel].reverse();
    dealt.push(...turn.flatMap((of) => of[round] ?? []));
  }
  return dealt;
}

/** FNV-1a, 32 bits. */
function hashOf({ input, output }: Example): number {
  let hash = 0x811c9dc5;
  for (const character of `${output}\n${input}`) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  }
  return hash;
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
