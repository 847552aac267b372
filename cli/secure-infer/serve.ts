/** `secure-infer party` and `secure-infer assistant`: one serving role in this process. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { readBundle } from '../../export/bundle.ts';
import { kernels } from '../../ring/index.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { seededEntropy } from '../../runtime/keys.ts';
import { MAX_TOKENS_AT_ONCE } from '../../runtime/role/capacity.ts';
import { startAssistant } from '../../runtime/role/assistant.ts';
import type { SessionReport } from '../../runtime/role/party-options.ts';
import { FAILURE_FLOOR } from '../../runtime/role/party-session.ts';
import { startParty } from '../../runtime/role/party.ts';
import type { RoleOptions, Running } from '../../runtime/role/server.ts';
import { readDeployment } from '../../runtime/transport/deployment.ts';
import { loadIdentity } from '../../runtime/transport/identity.ts';
import { deploymentFile, seconds, wholeNumber, withWaits, type Waits } from './options.ts';
import { spent, startProfile, type Spent } from './profile.ts';
import { transcriptWatch } from './transcript.ts';
import { onError } from '../ui/colour.ts';

interface ServeOptions extends Waits {
  readonly bundle: string;
  readonly keys: string;
  readonly deployment?: string;
  readonly seed?: string;
  readonly local?: boolean;
  readonly stock?: string;
}

interface PartyOptions extends ServeOptions {
  readonly live?: boolean;
  readonly failureFloor: number;
  readonly maxTokens: number;
}

/** What `local` tells the roles it starts. Deterministic runs come this way only. */
export interface StartMessage {
  readonly seed?: string;
  readonly transcript?: string;
  /** Report every session (`ServedMessage`), and hold so many bytes of prepared work in memory. */
  readonly measure?: { readonly budget: number; readonly profile?: boolean };
}

/** A role's figures of one session, or that it has done all it can before the client's message. */
export type ServedMessage =
  | { readonly kind: 'prepared' }
  | {
      readonly kind: 'served';
      readonly report?: SessionReport;
      readonly peakRssBytes: number;
      readonly kernels: string;
      readonly spent: Spent;
    };

/** What a role tells `local`. */
export type RoleMessage =
  | { readonly kind: 'ready' }
  | ServedMessage
  | { readonly kind: 'failed'; readonly message: string; readonly hint: string; readonly exitCode: number };

const tell = (message: RoleMessage): void => void process.send?.(message);

/** Linux: of this program alone; `maxRSS` begins with what its parent had when it was started. */
function peakRss(): number {
  try {
    const [, kib] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kib !== undefined) return 1024 * Number(kib);
  } catch {
    // Not Linux.
  }
  return 1024 * process.resourceUsage().maxRSS;
}

const served = (report?: SessionReport): void =>
  tell({
    kind: 'served',
    ...(report === undefined ? {} : { report }),
    peakRssBytes: peakRss(),
    kernels: kernels().name,
    spent: spent(),
  });

/** Waits for the first message of `local`. */
function startMessage(): Promise<StartMessage> {
  if (process.send === undefined)
    throw new RefusedError('--local is for the roles that `secure-infer local` starts', 'leave it out');
  process.once('disconnect', () => process.exit(4));
  return new Promise((resolve) => process.once('message', (message) => resolve(message as StartMessage)));
}

async function untilStopped(running: Running): Promise<void> {
  process.removeAllListeners('SIGINT');
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  await running.close();
  // Sessions have ended or were cut; a timer of one may still be pending.
  process.exit(0);
}

async function serve(
  options: ServeOptions,
  start: (role: RoleOptions, message: StartMessage) => Promise<{ running: Running; name: string }>,
): Promise<void> {
  if (options.seed !== undefined) {
    throw new RefusedError(
      '--seed is refused for serving: masks made from a seed protect nothing',
      'use `secure-infer local --seed`',
    );
  }
  const message = options.local === true ? await startMessage() : {};
  try {
    await loadKernels();
    if (message.measure?.profile) startProfile();
    const [identity, deployment] = await Promise.all([
      loadIdentity(options.keys),
      readDeployment(deploymentFile(options)),
    ]);
    const { running, name } = await start(
      {
        identity,
        deployment,
        timeout: options.timeout,
        patience: options.patience,
        log: (line) => void process.stderr.write(`${line}\n`),
        failed: ({ message: what, hint, exitCode }) => tell({ kind: 'failed', message: what, hint, exitCode }),
        ...(message.seed === undefined ? {} : { entropy: seededEntropy(message.seed) }),
      },
      message,
    );
    if (message.seed !== undefined)
      process.stderr.write(`${onError.red('SECRECY IS OFF')}: ${name} draws its masks from a seed\n`);
    if (options.local !== true)
      process.stderr.write(`${name} ready on port ${running.listeners.map((l) => l.port).join(' and ')}\n`);
    tell({ kind: 'ready' });
    await untilStopped(running);
  } catch (error) {
    if (error instanceof Failure)
      tell({ kind: 'failed', message: error.message, hint: error.hint, exitCode: error.exitCode });
    if (!process.connected) throw error;
    // `local` prints the reason, once.
    process.exitCode = error instanceof Failure ? error.exitCode : 70;
    if (!(error instanceof Failure)) process.stderr.write(`bug: ${(error as Error).stack}\n`);
    process.disconnect();
  }
}

const withRole = (command: Command): Command =>
  withWaits(
    command
      .requiredOption('--bundle <dir>', 'the bundle of this role')
      .requiredOption('--keys <dir>', 'the key folder of this role (keygen)')
      .option('--deployment <file>', 'who is where, by which certificate (default: beside the key folder)')
      .addOption(new Option('--seed <seed>').hideHelp())
      .addOption(new Option('--local').hideHelp()),
  );

/** Party 0 or party 1, as the bundle says; a bundle of another role is refused by its reader. */
async function partyRole(dir: string): Promise<'party0' | 'party1'> {
  const text = await readFile(join(dir, 'manifest.json'), 'utf8').catch(() => '');
  return /"role":\s*"party1"/.test(text) ? 'party1' : 'party0';
}

/** `party` and `assistant`. */
export function addServeCommands(program: Command): void {
  withRole(program.command('party').description('Serves as party 0 or party 1, whichever the bundle is for.'))
    .option(
      '--stock <dir>',
      'serve from deals made ahead (secure-infer deal), and nothing else (default: every session is dealt live)',
    )
    .option('--live', 'with --stock: let the assistant deal live for texts that the stock has nothing for')
    .addOption(
      new Option('--failure-floor <seconds>', 'a client hears of a failure only at multiples of this time')
        .argParser(seconds)
        .default(FAILURE_FLOOR, String(FAILURE_FLOOR / 1000)),
    )
    .option(
      '--max-tokens <n>',
      'tokens of all sessions at once: memory grows with them',
      wholeNumber,
      MAX_TOKENS_AT_ONCE,
    )
    .addHelpText(
      'after',
      '\nExamples:\n  secure-infer party --bundle bundles/party0 --keys keys/party0\n  secure-infer party --bundle bundles/party0 --keys keys/party0 --stock stock/party0\n',
    )
    .action((options: PartyOptions) =>
      serve(options, async (role, { transcript, measure }) => {
        const bundle = await readBundle(options.bundle, await partyRole(options.bundle));
        const watch = transcript === undefined ? {} : { watch: transcriptWatch(transcript, bundle.party) };
        const observed =
          measure === undefined
            ? {}
            : { budget: measure.budget, observer: { served, prepared: () => tell({ kind: 'prepared' }) } };
        if (options.live === true && options.stock === undefined)
          throw new InputError('--live goes with --stock', 'without --stock every session is dealt live');
        const stock = options.stock === undefined ? {} : { stock: { dir: options.stock, live: options.live === true } };
        const { failureFloor, maxTokens } = options;
        const running = await startParty(bundle, { ...role, ...watch, ...observed, ...stock, failureFloor, maxTokens });
        return { running, name: `party ${bundle.party}` };
      }),
    );
  withRole(
    program.command('assistant').description('Serves as the assistant, who deals randomness and learns nothing.'),
  )
    .option(
      '--stock <dir>',
      'its part of deals made ahead (secure-infer deal); live sessions are dealt for all the same',
    )
    .addHelpText('after', '\nExample:\n  secure-infer assistant --bundle bundles/assistant --keys keys/assistant\n')
    .action((options: ServeOptions) =>
      serve(options, async (role, { measure }) => {
        const bundle = await readBundle(options.bundle, 'assistant');
        const observed = measure === undefined ? {} : { served: () => served() };
        const stock = options.stock === undefined ? {} : { stock: options.stock };
        return { running: await startAssistant(bundle, { ...role, ...observed, ...stock }), name: 'the assistant' };
      }),
    );
}
