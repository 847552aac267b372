/**
 * Secured inference of a random model of a named shape: assistant, party 0 and party 1 as processes of this host, TLS on
 * loopback, answers checked against the float model.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Failure } from '../common/errors.ts';
import { planOf, wholeNumber } from '../cli/secure-infer/options.ts';
import { explainProgram, type Explained } from '../cli/secure-infer/explain.ts';
import { LocalRoles, type Role } from '../cli/secure-infer/local-roles.ts';
import type { Spent } from '../cli/secure-infer/profile.ts';
import type { ServedMessage } from '../cli/secure-infer/serve.ts';
import { progress } from '../cli/ui/progress.ts';
import { createEngine } from '../engine/onnxruntime.ts';
import { readBundle } from '../export/bundle.ts';
import { fold } from '../export/fold.ts';
import { lower } from '../export/lower.ts';
import { writeExport } from '../export/provider.ts';
import { floatLogits, randomModel, randomTexts, spread } from '../export/random-model.ts';
import { realModel } from '../export/real-model.ts';
import { SHAPES, shapeConfig, shapePlan } from '../export/shapes.ts';
import type { Program } from '../protocol/program.ts';
import { loadKernels } from '../ring/kernels/node.ts';
import { READ_AHEAD_BYTES } from '../runtime/role/dealt-stream.ts';
import { askBatch, clientModel, disclosed, newReference, type Answers, type Question } from '../runtime/client/ask.ts';
import { clientCertificates, connectParties } from '../runtime/transport/client.ts';

export interface SecureOptions {
  readonly shape: string;
  /** Tokens of every text, texts of a session, measured sessions. */
  readonly seq: number;
  readonly batch: number;
  readonly runs: number;
  readonly plan: string;
  readonly seed: number;
  /** Every interpreted value is watched; default. */
  readonly guard?: boolean;
  /** Times kernels and collections in the roles, which takes a little time itself. */
  readonly profile?: boolean;
}

export interface SecureFigures {
  readonly shape: string;
  readonly seq: number;
  readonly batch: number;
  readonly plan: string;
  /** Cores the processes may use. */
  readonly cores: number;
  /** Median seconds of a session, from the client's connection to its answer: dealing included. */
  readonly wallSeconds: number;
  /** Median seconds from the client's message to its answer, dealt words and A_i·F in the memory of the parties. */
  readonly onlineSeconds: number;
  readonly textsPerSecond: number;
  readonly onlineTextsPerSecond: number;
  /** Counted by the parties; equal to what `secure-infer explain` declares, or the measurement fails. */
  readonly sentBytesPerParty: number;
  readonly dealtBytes: number;
  readonly rounds: number;
  /** All else party 0 and party 1 send each other: handshake, headers, padding of the last byte of an opening. */
  readonly framingBytes: number;
  readonly guard: boolean;
  /** Mean CPU seconds of a session with dealing: what it costs on any number of cores. */
  readonly cpuSeconds: Readonly<Record<Role, number>>;
  /** Of these, by kernel and in garbage collections; the rest is TLS, sockets, SHA-256 and JavaScript. */
  readonly profile?: Readonly<Record<Role, Readonly<Record<string, number>>>>;
  /** With dealt words streamed, and with all of them held for `onlineSeconds`. */
  readonly peakRssBytes: Readonly<Record<Role, number>>;
  readonly peakRssOnlineBytes: Readonly<Record<Role, number>>;
  /** Of all logits, against the same weights in float32 on onnxruntime (its own error is about 1e-5). */
  readonly maxError: number;
  readonly meanError: number;
  /** Least standard deviation of a logit over the texts asked (and 24 more). */
  readonly logitSd: number;
  readonly kernels: string;
}

/** Milliseconds a message may take: large models on a busy machine. */
const WAITS = { timeout: 120_000, patience: 120_000 };
/** Dealt words held for the online measurement. */
const EVERYTHING = 8 * 2 ** 30;

const total = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0);

const byRole = <T>(of: (role: Role) => T): Record<Role, T> => ({
  party0: of('party0'),
  party1: of('party1'),
  assistant: of('assistant'),
});

/** Seconds a session by kernel, most first, and in collections. */
function profileOf(spent: readonly Spent[], runs: number): Record<string, number> {
  const seconds = new Map<string, number>();
  const count = (name: string, s: number): void => void seconds.set(name, (seconds.get(name) ?? 0) + s / runs);
  for (const { kernels = {}, collectorSeconds = 0 } of spent) {
    for (const [name, times] of Object.entries(kernels)) count(name, times.seconds);
    count('garbage collection', collectorSeconds);
  }
  return Object.fromEntries([...seconds].filter(([, s]) => s >= 0.0005).toSorted(([, a], [, b]) => b - a));
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

/** The roles of one measurement and what they report. */
class Measured {
  readonly peak: Record<Role, number> = { party0: 0, party1: 0, assistant: 0 };
  readonly reports: (ServedMessage & { kind: 'served' })[] = [];
  /** Of the sessions after the first. */
  readonly spent: Record<Role, Spent[]> = { party0: [], party1: [], assistant: [] };
  #sessions = 0;
  kernels = '';
  #prepared = 0;
  #served = 0;
  #wake: (() => void) | undefined;

  readonly told = (role: Role, message: ServedMessage): void => {
    if (message.kind === 'prepared') this.#prepared++;
    else {
      this.#served++;
      if (this.#sessions > 0) this.spent[role].push(message.spent);
      this.peak[role] = Math.max(this.peak[role], message.peakRssBytes);
      this.kernels = message.kernels;
      if (message.report !== undefined) this.reports.push(message);
    }
    this.#wake?.();
  };

  async #until(reached: () => boolean): Promise<void> {
    while (!reached()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
  /** Both parties are prepared for the next session. */
  async prepared(): Promise<void> {
    await this.#until(() => this.#prepared >= 2);
    this.#prepared = 0;
  }
  /** Party 0, party 1 and the assistant (for each of its two connections) are done with the session. */
  async served(): Promise<void> {
    await this.#until(() => this.#served >= 4);
    this.#sessions++;
    this.#served = 0;
    this.#prepared = 0;
  }
}

interface Session {
  readonly answers: Answers;
  readonly seconds: number;
  readonly onlineSeconds: number;
}

/** Starts the roles, asks a first time (caches, compiled code), then `runs` times. */
async function measure(
  bundles: string,
  questions: readonly Question[],
  runs: number,
  online: boolean,
  profile: boolean,
): Promise<{ sessions: Session[]; measured: Measured }> {
  const measured = new Measured();
  const roles = await LocalRoles.start({
    bundles,
    ...WAITS,
    start: { measure: { budget: online ? EVERYTHING : READ_AHEAD_BYTES, profile } },
    log: (line) => void process.stderr.write(`${line}\n`),
    told: measured.told,
  });
  try {
    const bundle = await readBundle(join(bundles, 'client'), 'client');
    const model = clientModel(bundle.manifest, bundle.client);
    const options = { deployment: roles.deployment, identity: roles.identity, ...WAITS };
    const once = async (): Promise<Session> => {
      const start = performance.now();
      let typed = start;
      const answers = await askBatch(model, questions, await connectParties(options), clientCertificates(options), newReference(), async () => {
        if (online) await measured.prepared();
        typed = performance.now();
      }); // prettier-ignore
      const end = performance.now();
      await measured.served();
      return { answers, seconds: (end - start) / 1000, onlineSeconds: (end - typed) / 1000 };
    };
    const sessions: Session[] = [];
    const all = async (): Promise<void> => {
      for (let i = 0; i <= runs; i++) sessions.push(await once());
    };
    await Promise.race([all(), roles.failed]);
    return { sessions, measured };
  } catch (error) {
    throw await roles.reason(error);
  } finally {
    await roles.stop();
  }
}

/** Exports a random model of the shape into `dir`; the texts to ask and what the float model says to them. */
async function prepare(
  dir: string,
  { shape, seq, batch, plan: planName, seed, guard = true }: SecureOptions,
  step: (what: string) => void,
): Promise<{ program: Program; questions: Question[]; expected: Float64Array[]; logitSd: number }> {
  const config = shapeConfig(shape);
  const plan = shapePlan(config, seq, { ...planOf(planName), guard });
  const engine = createEngine({ threads: Math.min(4, availableParallelism()) });
  step('random weights');
  const tensors = await randomModel(config, engine, seq, seed);
  const texts = randomTexts(config, new Array<number>(batch + 24).fill(seq), seed + 2);
  const logits = await floatLogits(engine, config, tensors, texts);
  step('folding');
  const folded = fold(realModel(config, tensors), plan);
  step('bundles');
  const lowered = lower(plan, folded);
  const tokenizerDir = join(dir, 'tokenizer');
  await writeTokenizer(tokenizerDir);
  await writeExport(join(dir, 'bundles'), { plan, folded, ...lowered }, { labels: config.labels, tokenizerDir });
  return {
    program: lowered.program,
    questions: texts.slice(0, batch),
    expected: logits.slice(0, batch),
    logitSd: Math.min(...spread(logits).sd),
  };
}

/** A bundle has tokeniser files; texts here are token ids already. */
async function writeTokenizer(dir: string): Promise<void> {
  await mkdir(dir);
  await writeFile(join(dir, 'tokenizer.json'), '{}\n');
}

/** @throws Failure if the parties counted other costs than the program declares */
function checkCounts(declared: Explained, measured: Measured): { framingBytes: number } {
  let framingBytes = 0;
  for (const { report } of measured.reports) {
    const sent = Math.ceil(report!.openedBits / 8);
    const dealt = Math.ceil(report!.dealtBits / 8);
    const same =
      report!.rounds === declared.rounds &&
      sent === declared.sentBytesPerParty &&
      (dealt === 0 || dealt === declared.dealtBytes);
    if (!same)
      throw new Failure(
        `counted ${report!.rounds} rounds, ${sent} bytes sent, ${dealt} dealt; declared ${declared.rounds}, ${declared.sentBytesPerParty}, ${declared.dealtBytes}`,
        'report it: a gate declares another cost than it has',
        70,
      );
    framingBytes = Math.max(framingBytes, report!.sentBytes - sent);
  }
  return { framingBytes };
}

/** Answers texts of one shape through real role processes and holds the answers to float. */
export async function benchSecure(
  options: SecureOptions,
  step: (what: string) => void = () => {},
): Promise<SecureFigures> {
  const { shape, seq, batch, runs, plan } = options;
  await loadKernels();
  const dir = await mkdtemp(join(tmpdir(), 'bench-secure-'));
  try {
    const { program, questions, expected, logitSd } = await prepare(dir, options, step);
    const declared = explainProgram(program, { lengths: questions.map((q) => q.ids.length), heads: program.heads });
    step('sessions with dealing');
    const wall = await measure(join(dir, 'bundles'), questions, runs, false, options.profile ?? false);
    step('sessions dealt ahead');
    const online = await measure(join(dir, 'bundles'), questions, runs, true, false);
    const { framingBytes } = checkCounts(declared, wall.measured);
    checkCounts(declared, online.measured);
    const errors = [...wall.sessions, ...online.sessions].flatMap(({ answers }) =>
      answers.answers.map(disclosed).flatMap(({ logits }, i) => logits.map((v, j) => Math.abs(v - expected[i]![j]!))),
    );
    const wallSeconds = median(wall.sessions.slice(1).map((s) => s.seconds));
    const onlineSeconds = median(online.sessions.slice(1).map((s) => s.onlineSeconds));
    return {
      shape,
      seq,
      batch,
      plan,
      cores: availableParallelism(),
      wallSeconds,
      onlineSeconds,
      textsPerSecond: batch / wallSeconds,
      onlineTextsPerSecond: batch / onlineSeconds,
      sentBytesPerParty: declared.sentBytesPerParty,
      dealtBytes: declared.dealtBytes,
      rounds: declared.rounds,
      framingBytes,
      guard: options.guard ?? true,
      cpuSeconds: byRole((role) => total(wall.measured.spent[role].map((s) => s.cpuSeconds)) / runs),
      ...(options.profile && { profile: byRole((role) => profileOf(wall.measured.spent[role], runs)) }),
      peakRssBytes: wall.measured.peak,
      peakRssOnlineBytes: online.measured.peak,
      maxError: Math.max(...errors),
      meanError: errors.reduce((a, v) => a + v, 0) / errors.length,
      logitSd,
      kernels: wall.measured.kernels,
    };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

const seconds = (s: SecureFigures['cpuSeconds']): string =>
  `party 0 ${s.party0.toFixed(2)} s, party 1 ${s.party1.toFixed(2)} s, assistant ${s.assistant.toFixed(2)} s`;

/** Milliseconds a session by kind of work and role. */
function profileTable(profile: NonNullable<SecureFigures['profile']>, cpu: SecureFigures['cpuSeconds']): string {
  const roles = ['party0', 'party1', 'assistant'] as const;
  const names = new Set(roles.flatMap((role) => Object.keys(profile[role])));
  const line = (name: string, values: readonly number[]): string =>
    `${name.padEnd(22)}${values.map((s) => (1000 * s).toFixed(1).padStart(11)).join('')}\n`;
  const rest = roles.map((role) => cpu[role] - total(Object.values(profile[role])));
  return [
    `${'milliseconds of'.padEnd(22)}${roles.map((role) => role.padStart(11)).join('')}\n`,
    ...[...names].map((name) => line(name, roles.map((role) => profile[role][name] ?? 0))),
    line('TLS, hashes, the rest', rest),
    line('all', roles.map((role) => cpu[role])),
  ].join(''); // prettier-ignore
}

function table(f: SecureFigures): string {
  const peaks = (p: SecureFigures['peakRssBytes']): string =>
    `party 0 ${megabytes(p.party0)}, party 1 ${megabytes(p.party1)}, assistant ${megabytes(p.assistant)}`;
  const rows = [
    ['wall, with dealing', `${f.wallSeconds.toFixed(3)} s  (${f.textsPerSecond.toFixed(2)} texts/s)`],
    ['online', `${f.onlineSeconds.toFixed(3)} s  (${f.onlineTextsPerSecond.toFixed(2)} texts/s)`],
    ['sent by each party', `${megabytes(f.sentBytesPerParty)} in ${f.rounds} rounds, framing ${f.framingBytes} B`],
    ['dealt', megabytes(f.dealtBytes)],
    ['peak memory', peaks(f.peakRssBytes)],
    ['… all dealt ahead', peaks(f.peakRssOnlineBytes)],
    ['processor time', seconds(f.cpuSeconds)],
    ['logit error', `max ${f.maxError.toFixed(4)}, mean ${f.meanError.toFixed(4)} (logits vary by ${f.logitSd.toFixed(2)})`],
    ['kernels', `${f.kernels}, ${f.cores} cores`],
  ]; // prettier-ignore
  const lines = rows.map(([name, value]) => `${name!.padEnd(22)}${value}\n`).join('');
  return f.profile === undefined ? lines : `${lines}\n${profileTable(f.profile, f.cpuSeconds)}`;
}

/** `bench secure`. */
export function addSecureBench(program: Command): void {
  program
    .command('secure')
    .description('Secured inference of a random model: three role processes, TLS on loopback, checked against float.')
    .requiredOption('--shape <name>', SHAPES.join(', '))
    .requiredOption('--seq <tokens>', 'tokens of every text', wholeNumber)
    .option('--batch <texts>', 'texts that share a session', wholeNumber, 1)
    .option('--plan <name>', 'scales and rings, as of export-shares', 'balanced')
    .option('--runs <n>', 'measured sessions of each sort, after one that is not', wholeNumber, 3)
    .option('--seed <n>', 'of weights and texts', wholeNumber, 1)
    .option('--no-guard', 'without the guards, for comparisons')
    .option('--profile', 'processor time of every role by kind of work')
    .option('--json', 'one JSON object as the last line')
    .addHelpText('after', '\nExample:\n  npm run --silent bench -- secure --shape minilm --seq 25 --batch 32 --json\n')
    .action(async (options: SecureOptions & { readonly json?: boolean }) => {
      const bar = progress(`${options.shape}, ${options.batch} × ${options.seq} tokens`, false);
      const figures = await benchSecure(options, (what) => void process.stderr.write(`  ${what}\n`)).catch(
        (error: unknown) => {
          bar.fail('failed');
          throw error;
        },
      );
      bar.succeed(`${options.shape}, ${options.batch} × ${options.seq} tokens`);
      process.stdout.write(options.json ? `${JSON.stringify(figures)}\n` : table(figures));
    });
}
