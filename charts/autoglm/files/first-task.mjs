// Creates a task and waits for its end, with fetch alone: the image holds no other client.
import { readFileSync } from "node:fs";

const { API_SERVER, TOKEN_FILE, TASK, TIMEOUT_SECONDS } = process.env;
const task = JSON.parse(TASK);
const tasks = `${API_SERVER}/apis/${task.apiVersion}/namespaces/${task.metadata.namespace}/autoglmtasks`;
const giveUpAt = Date.now() + 1000 * Number(TIMEOUT_SECONDS);

async function call(method, url, given = {}) {
  const headers = { authorization: `Bearer ${String(readFileSync(TOKEN_FILE, "utf8"))}`, "content-type": "application/json" };
  const response = await fetch(url, { ...given, method, headers });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${method} ${url}: ${answer.message}`);
  return answer;
}

const { metadata } = await call("POST", tasks, { body: JSON.stringify(task) });
const url = `${tasks}/${metadata.name}`;
let state = "not seen by the operator";
for (let outcome; !outcome; ) {
  if (Date.now() > giveUpAt) throw new Error(`${metadata.name} did not end in ${TIMEOUT_SECONDS} s: ${state}`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { status } = await call("GET", url);
  const seen = [status?.reason, status?.hint].filter(Boolean).join(": ") || state;
  if (seen !== state) console.log((state = seen));
  outcome = status?.conditions?.find(({ type, status }) => status === "True" && ["Complete", "Failed"].includes(type));
  if (outcome?.type === "Failed") throw new Error(`${metadata.name} failed: ${state}`);
}
console.log(`${metadata.name} is complete`);
await call("DELETE", url);
