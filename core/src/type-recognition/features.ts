/**
 * What the recogniser sees of a text: which tokens and pairs of neighbours are there, and how it begins and ends, each
 * hashed into one of {@link BUCKETS}. models/recipes/type_recognition.py trains on the same; a test compares the two.
 */
import { BUCKETS } from "./weights.ts";

const LONGEST = 400;
const TOKEN = /[a-z]+(?:'[a-z]+)?|[0-9]+|[\u3400-\u9fff]|[^\sa-z0-9\u3400-\u9fff]/gu;

/** Signs of a whole text; what they weigh is learned. */
const SIGNS = {
  "#cap": /(?<=[a-z,] )[A-Z][a-z]+/g,
  "#do":
    /^(?:please |can you |could you |would you |i want you to |i need you to |help me (?:to )?)?(?:act|add|analy[sz]e|answer|arrange|brainstorm|build|calculate|check|classify|come up|compare|complete|compose|compute|continue|convert|correct|create|debug|define|describe|design|develop|discuss|draft|draw|edit|elaborate|estimate|evaluate|explain|extract|fill|find|fix|generate|give|help|identify|illustrate|imagine|implement|improve|invent|list|name|organi[sz]e|outline|paraphrase|pick|plan|predict|prepare|pretend|produce|proofread|propose|prove|provide|rank|recommend|refactor|rephrase|rewrite|role-?play|shorten|show me|simplify|solve|sort|spell|suggest|summari[sz]e|teach|tell me|think of|transform|translate|turn|write)\b/gi,
  "#ask":
    /^(?:and |so |but )?(?:what|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|should|would|will|may|has|have)\b[^.!]*\?\s*$|^how (?:do|can|to|long|many|much)\b|, (?:what|how|when|where|which|who|why)\b[^.]*\?\s*$/gi,
  "#zhdo":
    /^(?:请|帮我|帮忙|麻烦|给我|给出|能否|能不能|可否)?(?:你)?(?:写|用.{1,8}(?:写|实现|描述|解释|改写|造句)|为.{1,14}(?:写|起|设计|想)|给.{1,14}(?:写|起|出|讲|推荐)|把.{1,40}(?:翻译|改写|整理|改成|改得|润色|总结|转换)|将.{1,40}(?:翻译|改写|整理|转换)|翻译|改写|续写|仿写|扩写|缩写|润色|总结|概括|归纳|提炼|生成|列出|列举|列一|推荐|介绍|解释|说明|描述|分析|比较|对比|设计|制定|规划|策划|计算|证明|编写|创作|讲一|讲个|讲讲|说说|谈谈|告诉|假设|假如你|扮演|模拟|检查|修改|起草|拟|出一|想一|做一|帮|根据)/g,
  "#zhask":
    /(?:什么|为何|如何|怎么|怎样|谁|哪|几|多少|多远|多久|多大|多长|是否|能不能|会不会|有没有|可不可以|要不要)[^。！]*[?？]?\s*$|[吗呢][?？]?\s*$|[?？]\s*$/g,
} as const;
const MOST_SIGNS = 4;

function signsOf(text: string): readonly string[] {
  const head = Array.from(text).slice(0, LONGEST).join("").trim();
  return Object.entries(SIGNS).map(
    ([name, pattern]) => `${name}${Math.min(MOST_SIGNS, head.match(pattern)?.length ?? 0)}`,
  );
}

/** Words of Latin letters, single Chinese characters, signs; every number is "0". */
export function tokensOf(text: string): readonly string[] {
  const plain = Array.from(text).slice(0, LONGEST).join("").normalize("NFKC").toLowerCase();
  return (plain.match(TOKEN) ?? []).map((token) => (/^\d/.test(token) ? "0" : token));
}

/** Buckets that are present, each once, ascending. */
export function bucketsOf(text: string): readonly number[] {
  const tokens = tokensOf(text);
  if (tokens.length === 0) return [];
  const pairs = tokens.slice(1).map((token, index) => `${tokens[index]} ${token}`);
  const edges = [`^${tokens[0]}`, `^${tokens.slice(0, 2).join(" ")}`, `${tokens.at(-1)}$`];
  const present = new Set(
    [...tokens, ...pairs, ...edges, ...signsOf(text)].map((feature) => fnv1a(feature) % BUCKETS),
  );
  return [...present].sort((a, b) => a - b);
}

const UTF8 = new TextEncoder();

/** 32-bit FNV-1a of the UTF-8 bytes. Source: Fowler, Noll and Vo. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of UTF8.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
