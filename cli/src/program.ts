/** The command line: which commands and flags there are, and what becomes of errors. */
import { isAutoglmError, SPEC_TASK_TYPES, TASK_TYPES, TIERS, toAutoglmError } from "@autoglm/api";
import type { Resource } from "@autoglm/kube";
import { Command, CommanderError, Option } from "commander";
import { enrolNode, type EnrolOptions } from "./commands/enrol.ts";
import { evaluate, type EvalOptions } from "./commands/eval.ts";
import { gateEval, type GateEvalOptions, gateReplay, type GateReplayOptions } from "./commands/gate.ts";
import { get, type GetOptions } from "./commands/get.ts";
import { importModel, type ImportOptions } from "./commands/models-import.ts";
import { pushModel, type PushOptions } from "./commands/models-push.ts";
import { results, type ResultsOptions } from "./commands/results.ts";
import { run, type RunOptions } from "./commands/run.ts";
import { version, type VersionOptions } from "./commands/version.ts";
import { why, type WhyOptions } from "./commands/why.ts";
import { parseDurationMs } from "./duration.ts";
import { EXIT, EXIT_CODES_HELP, type ExitCode, exitCodeOf, usageError } from "./exit-codes.ts";
import type { CliIo } from "./io.ts";
import { FLEET_NODES, MODELS, TASKS } from "./objects.ts";
import { CLI_VERSION } from "./version.ts";

/** Runs one command. Never throws: whatever goes wrong is said on stderr and is the exit code. */
export async function runCli(args: readonly string[], io: CliIo): Promise<ExitCode> {
  const session: Session = { io, timeout: new AbortController(), exitCode: EXIT.ok };
  try {
    await buildProgram(session).parseAsync(args, { from: "user" });
    return session.exitCode;
  } catch (error) {
    // commander has said what is wrong; for --help it ends this way too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (io.signal.aborted) {
      io.stderr.write("interrupted: what was created goes on\n");
      return EXIT.interrupted;
    }
    if (session.timeout.signal.aborted) {
      io.stderr.write("timed out: what was created goes on\n");
      return EXIT.timedOut;
    }
    printError(io, error);
    return exitCodeOf(error);
  }
}

interface Session {
  readonly io: CliIo;
  /** Fires when --timeout is over. */
  readonly timeout: AbortController;
  exitCode: ExitCode;
}

function printError({ stderr }: CliIo, thrown: unknown): void {
  const { code, message, details } = toAutoglmError(thrown);
  const { method, resource, key, httpStatus, hint } = details;
  const isAnswer = typeof httpStatus === "number";
  // What the API server says names the object itself; the request before it is noise to a person.
  const request = `${[method, resource, key].filter(Boolean).join(" ")}: `;
  const words = isAnswer && message.startsWith(request) ? message.slice(request.length) : message;
  stderr.write(`error: ${words}\n`);
  if (typeof hint === "string") stderr.write(`hint: ${hint}\n`);
  else if (code === "ApiUnavailable" && !isAnswer) {
    stderr.write("hint: is the cluster of the kubeconfig running? kubectl cluster-info tells\n");
  }
  // Nobody foresaw it: where it came from is the best that can be said.
  if (!isAutoglmError(thrown) && thrown instanceof Error) stderr.write(`${thrown.stack ?? ""}\n`);
}

function buildProgram(session: Session): Command {
  const { io } = session;
  const program = new Command(io.environment.programName)
    .description("Runs inference tasks on the nodes of a fleet and brings back their results.")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    })
    .showHelpAfterError(`(see ${io.environment.programName} --help)`)
    .version(CLI_VERSION)
    .addHelpText("after", EXIT_CODES_HELP);
  addRun(program, session);
  addGet(program.command("get"), session, TASKS, "task", "Lists tasks, or shows one.");
  addResults(program, session);
  const nodes = addGet(
    program.command("nodes"),
    session,
    FLEET_NODES,
    "node",
    "Lists the nodes of the fleet.",
  );
  addEnrol(nodes, session);
  const models = addGet(program.command("models"), session, MODELS, "model", "Lists models.");
  addPush(models, session);
  addImport(models, session);
  addEval(program, session);
  addCommand(program.command("why"))
    .description("Says why a task is in its state, what would change it, and where its parts run.")
    .argument("<task>")
    .addOption(outputFlag("json"))
    .action((name: string, flags: WhyOptions) => act(session, flags, (options) => why(io, name, options)));
  addGate(program, session);
  addCommand(program.command("version"))
    .description("Prints versions.")
    .addOption(outputFlag("json"))
    .action((flags: VersionOptions) => act(session, flags, (options) => version(io, options)));
  return program;
}

function addRun(program: Command, session: Session): void {
  addResultsFlags(addCommand(program.command("run")))
    .description(
      "Creates tasks and follows them: their ids at once, then results on stdout, progress on stderr. " +
        "With --type, --model, --file or --node-file the arguments are texts, one item each; otherwise manifests.",
    )
    .argument("[inputs...]", "manifests (- is stdin), or texts")
    .addOption(new Option("--type <type>", "task type").choices(SPEC_TASK_TYPES))
    .option("--model <name>", "AutoGLMModel to use; default: the first that serves the type")
    .option(
      "--file <path>",
      "input file here: text, one item a line; or csv, tsv, json, jsonl, by a ConfigMap",
    )
    .option("--node-file <path>", "input file on the node, below its data root")
    .option("--field <name>", "column or field of the file that holds the text")
    .option("--name <name>", "name of the task; default: made up")
    .addOption(
      new Option("--strategy <strategy>", "which side is tried").choices([
        "EdgeFirst",
        "CloudFirst",
        "EdgeOnly",
        "CloudOnly",
      ]),
    )
    .addOption(new Option("--tier <tier>", "smallest GPU-memory tier").choices(TIERS))
    .addOption(new Option("--priority <number>", "who gets memory first").argParser(integer))
    .option("--detach", "print the ids and return")
    .addOption(outputFlag("json", "text", "name"))
    .action((inputs: string[], flags: RunOptions) =>
      act(session, flags, (options) => run(session.io, inputs, options)),
    );
}

function addResults(program: Command, session: Session): void {
  addResultsFlags(addCommand(program.command("results")))
    .description(
      "Prints the results of a task: those that are there in item order, or, with --follow, as they come.",
    )
    .argument("<task>")
    .option("--follow", "until the task is complete")
    .addOption(new Option("--run <number>", "which run; default: the newest").argParser(integer))
    .addOption(outputFlag("json", "text"))
    .action((name: string, flags: ResultsOptions) =>
      act(session, flags, (options) => results(session.io, name, options)),
    );
}

function addGet(
  command: Command,
  session: Session,
  resource: Resource,
  what: string,
  description: string,
): Command {
  addCommand(command).description(description).argument(`[${what}]`);
  if (resource.namespaced) command.option("-A, --all-namespaces", "of all namespaces");
  return command
    .option("-l, --selector <labels>", "only with these labels, e.g. app=reviews")
    .addOption(outputFlag("json", "yaml", "name", "wide"))
    .action((name: string | undefined, flags: GetOptions) =>
      act(session, flags, (options) => get(session.io, resource, name, options)),
    );
}

function addEnrol(nodes: Command, session: Session): void {
  addCommand(nodes.command("enrol"))
    .description("Makes a one-time token with which an agent enrols as this node, and prints it.")
    .argument("<node>")
    .addOption(
      new Option("--expires-in <duration>", "how long the token is good for")
        .argParser(parseDurationMs)
        .default(3_600_000, "1h"),
    )
    .action((name: string, flags: EnrolOptions) =>
      act<EnrolOptions>(session, flags, (options) => enrolNode(session.io, name, options)),
    );
}

function addImport(models: Command, session: Session): void {
  models
    .command("import")
    .description(
      "Converts a checkpoint of a GLM (GLM-Edge, GLM-4, 0414) or Llama model to a package for `models push`: graph, tokenizer, chat template, model.yaml. Needs python3; the first time it fetches its packages.",
    )
    .argument("<checkpoint>", "folder of safetensors with config.json and tokenizer.json, or a .gguf file")
    .requiredOption("--out <dir>", "folder for the package; made, or empty")
    .addOption(
      new Option("--precision <precision>", "of the weights")
        .choices(["int4", "int8", "fp32"])
        .default("int4"),
    )
    .addOption(
      new Option(
        "--provider <provider>",
        "what it is to run on; for cuda with attention in half precision, which a card has kernels for",
      )
        .choices(["cpu", "cuda"])
        .default("cpu"),
    )
    .option("--name <name>", "name of the AutoGLMModel; default: that of the folder or file")
    .addOption(
      new Option("--context-length <tokens>", "shorter than the model's own, for less memory").argParser(
        integer,
      ),
    )
    .action((source: string, flags: ImportOptions) =>
      act<ImportOptions>(session, flags, (options) => importModel(session.io, source, options)),
    );
}

function addPush(models: Command, session: Session): void {
  addResultsFlags(addCommand(models.command("push")))
    .description(
      "Brings a model of your own onto the fleet: loads it here, compares its answers with golden.jsonl, measures its memory, uploads its files, applies the AutoGLMModel.",
    )
    .argument("<dir>", "folder with model.onnx and pipeline.json")
    .option("--name <name>", "name of the AutoGLMModel; default: that of model.yaml, else of the folder")
    .option("--variant <name>", "name of the variant; default: its precision")
    .addOption(
      new Option("--precision <precision>", "of the weights").choices(["fp32", "fp16", "int8", "int4"]),
    )
    .addOption(new Option("--context-length <units>", "longest input").argParser(integer))
    .option("--memory <quantity>", "memory to reserve; default: what is measured here and a tenth")
    .option("--language <tags...>", "languages, e.g. zh en")
    .option("--license <spdx>", "licence of the weights")
    .option("--description <text>", "what it is, in a sentence")
    .addOption(
      new Option("--tolerance <number>", "how far numbers of golden answers may differ")
        .argParser(Number)
        .default(0.001),
    )
    .option("--record", "write the answers of golden.jsonl that are missing")
    .option("--dry-run", "check alone; print what would be applied")
    .action((directory: string, flags: PushOptions) =>
      act<PushOptions>(session, flags, (options) => pushModel(session.io, directory, options)),
    );
}

function addEval(program: Command, session: Session): void {
  addCommand(program.command("eval"))
    .description("Judges a model folder on this machine by items whose right answers are known.")
    .argument("<dir>", "folder with model.onnx and pipeline.json")
    .requiredOption(
      "--gold <file>",
      "jsonl, csv or tsv with text and label (or entities, relations, question and answer, summary, target)",
    )
    .addOption(new Option("--type <type>", "task type, where the model serves several").choices(TASK_TYPES))
    .option("--labels <list>", "labels to choose from, with commas between them")
    .option(
      "--prompts <file>",
      "AutoGLMPrompts to ask a generating model with, chosen for each text as in a task",
    )
    .option("--prompt <name>", "this one of them alone")
    .addOption(new Option("--floor <number>", "exit code 3 below it").argParser(Number))
    .addOption(outputFlag("json"))
    .action((directory: string, flags: EvalOptions) =>
      act<EvalOptions>(session, flags, (options) => evaluate(session.io, directory, options)),
    );
}

function addGate(program: Command, session: Session): void {
  const gate = program
    .command("gate")
    .description("Measures dynamic gating, and repeats what a gate decided. Needs no cluster.");
  addLocalCommand(gate.command("eval"))
    .description(
      "Runs a small and a large model on rows whose labels are known, and prints accuracy against the share of items that a " +
        "gate between them escalates, beside drawing lots and an oracle. Each gold file is a trial of its own if its rows " +
        "name a split; otherwise its rows are halved anew for each seed.",
    )
    .requiredOption(
      "--gold <files...>",
      'JSON lines: {"text", "label"}, and "split": "calibration" or "test"',
    )
    .option(
      "--edge <folder>",
      "the small model: model.onnx and pipeline.json; default: edge beside the gold file",
    )
    .option("--deep <folder>", "the large model; default: deep beside the gold file")
    .option("--gate <folder>", "network of the pre-gate; default: gate beside the gold file, if it is there")
    .addOption(
      new Option("--type <type>", "task type of both models")
        .choices(["text-classification"])
        .default("text-classification"),
    )
    .addOption(
      new Option("--mode <modes...>", "which gates decide")
        .choices(["Pre", "Post", "Both"])
        .default(["Post", "Both"]),
    )
    .addOption(
      new Option("--seeds <number>", "halves to draw of a file without splits")
        .argParser(integer)
        .default(10),
    )
    .option("--chart <file>", "draw the curve as SVG")
    .addOption(outputFlag("json"))
    .action((flags: GateEvalOptions) =>
      act<GateEvalOptions>(session, flags, (options) => gateEval(session.io, options)),
    );
  addLocalCommand(gate.command("replay"))
    .description(
      "Reads the decision log of a gate and decides everything again by the code that agents run. Ends with 1 at the first " +
        "decision that comes out differently, and names it.",
    )
    .argument("<file>", "gate/decisions/<task>.<run>.jsonl of an agent's state folder")
    .addOption(outputFlag("json"))
    .action((file: string, flags: GateReplayOptions) =>
      act<GateReplayOptions>(session, flags, (options) => gateReplay(session.io, file, options)),
    );
}

/** Flags of the commands that need no cluster. */
function addLocalCommand(command: Command): Command {
  return command.showHelpAfterError(`(see ${namesOf(command)} --help)`).addHelpText("after", EXIT_CODES_HELP);
}

function namesOf(command: Command): string {
  const names = [command, command.parent, command.parent?.parent].flatMap((one) => one?.name() ?? []);
  return names.toReversed().join(" ");
}

/** Flags of the commands that talk to a cluster. */
function addCommand(command: Command): Command {
  return command
    .enablePositionalOptions()
    .showHelpAfterError(`(see ${namesOf(command)} --help)`)
    .option("-n, --namespace <name>", "namespace; default: that of the kubeconfig's context")
    .option("--context <name>", "context of the kubeconfig")
    .option("--kubeconfig <path>", "default: KUBECONFIG, else ~/.kube/config")
    .addHelpText("after", EXIT_CODES_HELP);
}

/** Flags of the commands that read results. */
function addResultsFlags(command: Command): Command {
  return command
    .option("--results-url <url>", "results server; default: AUTOGLM_RESULTS_URL, else what the cluster says")
    .option("--token <token>", "bearer token for it; default: AUTOGLM_TOKEN, else the kubeconfig's")
    .addOption(
      new Option("--timeout <duration>", "give up after this long, e.g. 90s").argParser(parseDurationMs),
    );
}

/** Gives a command its signal, and its exit code back. */
async function act<Flags extends { readonly signal: AbortSignal }>(
  session: Session,
  flags: Omit<Flags, "signal"> & { readonly timeout?: number },
  command: (options: Flags) => Promise<ExitCode>,
): Promise<void> {
  const { io, timeout } = session;
  const { timeout: timeoutMs, ...rest } = flags;
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => timeout.abort(), timeoutMs);
  const signal = AbortSignal.any([io.signal, timeout.signal]);
  try {
    // commander has made the flags from the options of this command; the signal completes them.
    session.exitCode = await command({ ...rest, signal } as unknown as Flags);
  } finally {
    clearTimeout(timer);
  }
}

function outputFlag(...formats: string[]): Option {
  return new Option("-o, --output <format>", "how it is printed").choices(formats);
}

function integer(text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw usageError(`"${text}" is no whole number`);
  return Number(text);
}
