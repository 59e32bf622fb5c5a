/**
 * Names of nodes on the bus. A node id is one token of a subject: no dots, at most 80 characters.
 *
 * A node name that is a token already is its own id. Any other name (dots, too long) is made into one and gets a
 * hash of the whole name behind "--", and so does a name that looks as if it had such a suffix. So two names
 * share an id only if their 64-bit hashes collide; enrolment refuses an id that another node has.
 */
const PLAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const SUFFIXED = /--[0-9a-f]{16}$/;
const MAX_PLAIN = 63;
const MAX_READABLE = 60;

/** The id of a node, from its Kubernetes name. Stable over versions: subjects and grants are made from it. */
export function nodeIdOf(nodeName: string): string {
  if (nodeName.length <= MAX_PLAIN && PLAIN.test(nodeName) && !SUFFIXED.test(nodeName)) return nodeName;
  const readable = nodeName
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, MAX_READABLE);
  return `${readable || "node"}--${fnv1a64(nodeName)}`;
}

/** FNV-1a, 64 bits, over UTF-8; http://www.isthe.com/chongo/tech/comp/fnv/ */
function fnv1a64(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, "0");
}
