/**
 * What kind of work a sample of texts asks for, when nobody said it.
 *
 * Each text gives at most one vote, by signs that are plain to see: a question or an instruction asks for an answer
 * (text-generation), a short opinion for its polarity (text-classification), a report of names, places and dates for its
 * entities (token-classification). A text with signs of two kinds, or of none, abstains. The sample decides only when
 * most texts agree and hardly any disagrees: a wrong guess costs the user a whole run, an undecided one a word.
 */
import type { TaskType } from "@autoglm/api";

const SAMPLE_TEXTS = 32;
const SAMPLE_CHARACTERS = 500;
const LONGEST_OPINION = 280;
const NEEDED_SHARE = 0.6;
const TOLERATED_SHARE = 0.15;

const INSTRUCTION_EN =
  /^(please\b|write|explain|summari[sz]e|translate|list|give|describe|create|generate|compose|tell|suggest|complete|continue|compare|define|draft|rewrite|help me|can you|could you|would you|imagine|once upon a time)\b/i;
const QUESTION_EN =
  /^(what|who|whom|whose|which|when|where|why|how|is|are|was|were|do|does|did|can|could|should|would|will)\b.*\?\s*$/is;
const INSTRUCTION_ZH =
  /^(请|帮我|帮忙|写一|写个|写出|解释|介绍一下|介绍|翻译|总结|概括|列出|列举|描述|续写|生成|告诉我|讲一|说明)/;
const QUESTION_ZH =
  /^(什么|为什么|为何|如何|怎么|怎样|谁|哪|几|多少|是否).*[?？]\s*$|(是什么|有哪些|怎么办|吗|呢)[?？]\s*$/s;

const OPINION_EN =
  /\b(love[ds]?|hate[ds]?|great|good|bad|terrible|awful|excellent|amazing|horrible|disappoint(ed|ing|ment)|recommend(ed)?|worst|best|perfect|poor|nice|wonderful|waste|useless|boring|enjoy(ed|able)?|refund|satisfied|happy with)\b/i;
const OPINION_ZH =
  /(喜欢|讨厌|满意|失望|推荐|不错|很好|太好|非常好|好看|好用|好吃|好评|差评|很差|太差|真差|垃圾|糟糕|难吃|难看|难用|便宜|划算|值得|后悔|舒服|给力|漂亮|完美|太棒|很棒|一般般|服务|质量|性价比|房间|物流)/;

const ENTITY_ZH =
  /(\d{1,4}年|\d{1,2}月\d{1,2}日|[省市县镇](?!场)|自治区|大学|公司|集团|银行|研究院|研究所|总统|总理|主席|部长|记者|日电|报道|法院|外交部|国务院)/g;
const REPORT_ZH = /(表示|宣布|指出|举行|访问|会见|出席|签署|发布|成立|位于|任命|报道|召开|抵达|担任)/;
const ENTITY_EN =
  /(?<=[a-z,] )([A-Z][a-z]+(?: [A-Z][a-z]+)+|[A-Z]{2,}\b)|\b(?:Inc|Corp|Ltd|LLC|University|President|Minister|Mr|Mrs|Dr)\b|\b(?:January|February|March|April|June|July|August|September|October|November|December) \d/g;
const REPORT_EN =
  /\b(said|announced|reported|told|signed|met|visited|elected|appointed|founded|located|acquired)\b/i;

export interface TypeRecognition {
  readonly type: TaskType;
  /** Share of the sampled texts that speak for it. */
  readonly share: number;
}

/** Undefined when the sample does not decide. Same texts, same answer: order does not matter beyond the sample's size. */
export function recogniseTaskType(texts: readonly string[]): TypeRecognition | undefined {
  const sample = texts
    .slice(0, SAMPLE_TEXTS)
    .map((text) => text.slice(0, SAMPLE_CHARACTERS).trim())
    .filter((text) => text !== "");
  if (sample.length === 0) return undefined;
  const votes = new Map<TaskType, number>();
  for (const text of sample) {
    const vote = voteOf(text);
    if (vote !== undefined) votes.set(vote, (votes.get(vote) ?? 0) + 1);
  }
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1]);
  if (first === undefined) return undefined;
  const share = first[1] / sample.length;
  const against = (second?.[1] ?? 0) / sample.length;
  return share >= NEEDED_SHARE && against <= TOLERATED_SHARE ? { type: first[0], share } : undefined;
}

function voteOf(text: string): TaskType | undefined {
  const signs: TaskType[] = [];
  if ([INSTRUCTION_EN, QUESTION_EN, INSTRUCTION_ZH, QUESTION_ZH].some((sign) => sign.test(text))) {
    signs.push("text-generation");
  }
  if (text.length <= LONGEST_OPINION && (OPINION_EN.test(text) || OPINION_ZH.test(text))) {
    signs.push("text-classification");
  }
  const names = (text.match(ENTITY_ZH)?.length ?? 0) + (text.match(ENTITY_EN)?.length ?? 0);
  const isReport = REPORT_ZH.test(text) || REPORT_EN.test(text);
  if (names >= 3 || (names >= 1 && isReport)) signs.push("token-classification");
  return signs.length === 1 ? signs[0] : undefined;
}
