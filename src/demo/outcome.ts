/** Judges what `kilofork demo` has measured: the numbers of the four witnesses, and the books. */
import { type AuditResult, audit } from "../audit/audit";
import type { ProcessPer } from "../base/protocol";
import type { ClientResult } from "../client/load";
import type { DemoOptions, Evidence } from "./demo";

/** The result, as `--json` gives it. */
export interface Outcome {
  readonly kind: "demo";
  readonly schema: 1;
  readonly ok: boolean;
  readonly problems: readonly string[];
  /** The least of the four witnesses' numbers: what all of them saw at one instant. */
  readonly concurrent: number;
  readonly clients: number;
  readonly children: number;
  readonly processPer: ProcessPer;
  /** More connections that were open and silent at that instant. */
  readonly silent: number;
  readonly witnesses: {
    readonly client: ClientResult["inFlight"];
    readonly log: { readonly peak: number; readonly pids: number; readonly heldMs: number };
    readonly memory: number;
    readonly kernel: number;
  };
  readonly books: {
    readonly replies: number;
    readonly counted: number;
    readonly completed: number;
    readonly balanced: boolean;
  };
  readonly upMs: number;
  readonly requestsPerSecond: number;
  readonly requestsPerSecondNoWork: number;
  /** The folder with the log and the client's result; null: it is removed. */
  readonly evidence: string | null;
}

function problemsOf({ silent }: DemoOptions, { instant }: Evidence): string[] {
  return [
    ...(instant.kernel === null
      ? [
          "the kernel could not be asked for the descriptors of the children: that takes Linux 6.2, or the superuser",
        ]
      : []),
    ...(instant.silent < silent
      ? [`${instant.silent} of ${silent} silent connections were open`]
      : []),
  ];
}

/** `speed`: requests a second without work. */
export function judge(
  options: DemoOptions,
  evidence: Evidence,
  result: AuditResult,
  speed: number,
): Outcome {
  const { client, instant, folder, server, log } = evidence;
  const problems = problemsOf(options, evidence);
  const [run] = result.runs;
  const witnesses = {
    client: client.inFlight,
    log: { peak: run?.peak ?? 0, pids: run?.pids ?? 0, heldMs: run?.peakHeldMs ?? 0 },
    memory: instant.working,
    kernel: instant.kernel ?? 0,
  };
  const concurrent = Math.min(
    witnesses.client.pids,
    witnesses.log.pids,
    witnesses.memory,
    witnesses.kernel,
  );
  const ok = problems.length === 0 && result.ok && client.ok && concurrent >= options.clients;
  return {
    kind: "demo",
    schema: 1,
    ok,
    problems: [...new Set([...client.problems, ...result.problems, ...problems])],
    concurrent,
    clients: options.clients,
    children: options.children,
    processPer: options.processPer,
    silent: instant.silent,
    witnesses,
    books: {
      replies: client.requests.verified,
      counted: run?.ledger.counted ?? 0,
      completed: run?.ledger.completed ?? 0,
      balanced: audit({ logs: [log], clients: [client], atLeast: 0, all: false }).ok,
    },
    upMs: server.upMs,
    requestsPerSecond: client.requestsPerSecond,
    requestsPerSecondNoWork: speed,
    evidence: ok && !options.keep ? null : folder,
  };
}
