/** `secure-infer local` and `ask`: everything that asks. */
import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { readBundle, type ClientBundle } from '../../export/bundle.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import type { Decoded } from '../../runtime/client/answer.ts';
import { WithheldError, type Question } from '../../runtime/client/ask.ts';
import { seededReference } from '../../runtime/memory.ts';
import { MAX_TEXTS } from '../../runtime/role/admission.ts';
import { readDeployment } from '../../runtime/transport/deployment.ts';
import { loadIdentity } from '../../runtime/transport/identity.ts';
import { counted } from '../ui/figures.ts';
import { progress } from '../ui/progress.ts';
import { dealForTexts } from './ahead.ts';
import { Asker, IN_FLIGHT, type SessionCost } from './asker.ts';
import { LocalRoles } from './local-roles.ts';
import {
  batchSize,
  deploymentFile,
  wholeNumber,
  withQuestions,
  withWaits,
  type QuestionOptions,
  type Waits,
} from './options.ts';
import { questions, tokenisedFor } from './texts.ts';
import { writeClient } from './transcript.ts';
import { onError, onOutput } from '../ui/colour.ts';

export interface LocalCommandOptions extends QuestionOptions, Waits {
  readonly json?: boolean;
  readonly seed?: string;
  readonly transcript?: string;
  readonly ahead?: boolean;
  readonly inFlight: number;
  readonly batch: number;
}

interface AskCommandOptions extends QuestionOptions, Waits {
  readonly json?: boolean;
  readonly bundle: string;
  readonly keys: string;
  readonly deployment?: string;
  readonly inFlight: number;
  readonly batch: number;
}

/** Hands over an answer, the session it came in and the index of its text. */
type Each = (answer: Decoded, session: SessionCost, index: number) => void;

function shown(answer: Decoded, { rounds, sentBytes, texts }: SessionCost): string {
  const shared = texts === 1 ? '' : ` for ${texts} texts`;
  const cost = onOutput.dim(`${rounds} rounds, ${(sentBytes / 1e6).toFixed(2)} MB${shared}`);
  if ('score' in answer) return `${answer.score.toFixed(4)}  ${cost}`;
  const share = answer.probabilities[answer.label]!;
  return `${onOutput.bold(answer.label)} ${(100 * share).toFixed(1)} %  ${cost}`;
}

/** `texts` only where several shared the rounds and bytes. */
function print(answer: Decoded, session: SessionCost, json: boolean | undefined): void {
  const { rounds, sentBytes, texts } = session;
  const line = { ...answer, rounds, sentBytes, ...(texts === 1 ? {} : { texts }) };
  process.stdout.write(`${json ? JSON.stringify(line) : shown(answer, session)}\n`);
}

const printWithheld = (json: boolean | undefined): void =>
  void process.stdout.write(`${json ? JSON.stringify({ withheld: true, logits: [] }) : onOutput.bold('withheld')}\n`);

/**
 * Asks all, handing over each answer in order as it comes; `withheld` instead where a guard flagged the text. Says throughput and
 * latency at the end. Resolves to how many were withheld.
 */
export async function answerAll(
  asker: Asker,
  all: readonly Question[],
  each: Each,
  withheld: (index: number) => void,
): Promise<number> {
  const quiet = all.length === 1;
  const bar = progress(`Asking ${counted(all.length, 'text')} in secret`, quiet);
  const start = performance.now();
  const sessions = new Set<SessionCost>();
  let done = 0;
  let refused = 0;
  try {
    for await (const { answer, session } of asker.askAll(all)) {
      sessions.add(session);
      if (answer instanceof WithheldError) {
        refused++;
        withheld(done);
      } else each(answer, session, done);
      bar.update(++done, all.length);
    }
  } catch (error) {
    bar.fail(`failed after ${done} of ${counted(all.length, 'text')}`);
    throw error;
  }
  const seconds = (performance.now() - start) / 1000;
  const latency = [...sessions].reduce((sum, session) => sum + session.seconds, 0) / sessions.size;
  const figures = `${(all.length / seconds).toFixed(2)} texts/s, ${latency.toFixed(2)} s a session`;
  bar.succeed(`${counted(done - refused, 'text')} answered${refused === 0 ? '' : `, ${refused} withheld`}: ${figures}`);
  return refused;
}

/** One withheld answer is a refusal; of many texts each has its line by now. @throws WithheldError for a single text */
function tellWithheld(refused: number, all: readonly Question[]): void {
  if (refused === 0) return;
  const error = new WithheldError();
  if (all.length === 1) throw error;
  process.stderr.write(
    `${refused} of ${all.length} answers ${refused === 1 ? 'was' : 'were'} withheld: ${error.hint}\n`,
  );
}

/** Runs `use`, which asks `all`, with the three roles on this host; they end with it, and it ends with them. */
export async function withLocal(
  bundles: string,
  client: ClientBundle,
  options: LocalCommandOptions,
  all: readonly Question[],
  use: (asker: Asker) => Promise<void>,
): Promise<void> {
  const { seed, transcript, batch } = options;
  if (transcript !== undefined && batch > 1)
    throw new InputError('--transcript and --batch', 'a transcript has one text a session: leave --batch out');
  if (options.ahead === true && seed !== undefined)
    throw new InputError('--ahead and --seed', 'what is dealt ahead is drawn at random: leave one of them out');
  if (transcript !== undefined && seed === undefined)
    throw new InputError('--transcript needs --seed', 'a transcript of a run with secret masks is never written');
  if (seed !== undefined)
    process.stderr.write(
      `${onError.bold(onError.red('SECRECY IS OFF'))}: --seed makes every mask from a known number\n`,
    );
  await loadKernels();
  const start = {
    ...(seed === undefined ? {} : { seed }),
    ...(transcript === undefined ? {} : { transcript: resolve(transcript) }),
  };
  const roles = await LocalRoles.start({
    bundles,
    start,
    ...(options.ahead === true && {
      stock: (deployment, dir) => dealForTexts(bundles, client.client, all, batch, deployment, dir),
    }),
    timeout: options.timeout,
    patience: options.patience,
    log: (line) => void process.stderr.write(`${line}\n`),
  });
  const stop = (): void => void roles.stop().then(() => process.exit(130));
  process.removeAllListeners('SIGINT');
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    const asker = new Asker(client, {
      deployment: roles.deployment,
      identity: roles.identity,
      timeout: options.timeout,
      patience: options.patience,
      inFlight: options.inFlight,
      batch,
      ...(seed === undefined ? {} : { reference: seededReference }),
    });
    await Promise.race([use(asker), roles.failed]);
  } catch (error) {
    throw await roles.reason(error);
  } finally {
    process.removeListener('SIGTERM', stop);
    await roles.stop();
  }
}

async function local(bundles: string, options: LocalCommandOptions): Promise<void> {
  const texts = await questions(options);
  const client = await readBundle(join(bundles, 'client'), 'client');
  const all = await tokenisedFor(client, texts, options.truncate === true);
  await withLocal(bundles, client, options, all, async (asker) => {
    const each: Each = (answer, session, index) => {
      if (options.transcript !== undefined)
        writeClient(options.transcript, index, { ...all[index]!, logits: answer.logits });
      print(answer, session, options.json);
    };
    const withheld = (index: number): void => {
      if (options.transcript !== undefined) writeClient(options.transcript, index, { ...all[index]!, logits: [] });
      printWithheld(options.json);
    };
    tellWithheld(await answerAll(asker, all, each, withheld), all);
  });
}

async function ask(options: AskCommandOptions): Promise<void> {
  const texts = await questions(options);
  const client = await readBundle(options.bundle, 'client');
  const all = await tokenisedFor(client, texts, options.truncate === true);
  const asker = await remote(client, options);
  const each: Each = (answer, session) => print(answer, session, options.json);
  tellWithheld(await answerAll(asker, all, each, () => printWithheld(options.json)), all);
}

async function remote(client: ClientBundle, options: AskCommandOptions): Promise<Asker> {
  await loadKernels();
  const [identity, deployment] = await Promise.all([
    loadIdentity(options.keys),
    readDeployment(deploymentFile(options)),
  ]);
  const { timeout, patience, inFlight, batch } = options;
  return new Asker(client, { deployment, identity, timeout, patience, inFlight, batch });
}

const JSON_HELP =
  'one JSON object a line: label, probabilities, logits (or score), rounds, sentBytes (with --batch: of the session, and texts, how many shared it); or withheld: true';

/** How texts are asked; `json` says what --json prints. */
export const withFlight = (command: Command, json = JSON_HELP): Command =>
  withWaits(command)
    .addOption(
      new Option('--batch <n>', `texts that share a session and its rounds, up to ${MAX_TEXTS}`)
        .argParser(batchSize)
        .default(1),
    )
    .addOption(new Option('--in-flight <n>', 'sessions under way at once').argParser(wholeNumber).default(IN_FLIGHT))
    .option('--json', json);

/** `local` and `ask`. */
export function addClientCommands(program: Command): void {
  withFlight(withQuestions(program.command('local <bundles>')))
    .description('Starts the three roles on this host, each with its own folder only, and answers texts in secret.')
    .option(
      '--seed <seed>',
      'make every mask from this seed: NO SECRECY, for comparing with the interpreter (default: secret masks)',
    )
    .option(
      '--ahead',
      'deal for all texts to disk first: the answers then take only the online part (default: deal while asking)',
    )
    .option('--transcript <dir>', 'with --seed: write every opened word and the rounding words')
    .addHelpText(
      'after',
      '\nExamples:\n  secure-infer local bundles --text "a fine film"\n  secure-infer local bundles --file texts.txt --batch 16 --json\n',
    )
    .action(local);
  withFlight(withQuestions(program.command('ask')))
    .description('Asks a deployment whose roles are running.')
    .requiredOption('--bundle <dir>', 'the client bundle')
    .requiredOption('--keys <dir>', 'the client’s key folder (keygen)')
    .option('--deployment <file>', 'who is where, by which certificate (default: beside the key folder)')
    .addHelpText(
      'after',
      '\nExample:\n  secure-infer ask --bundle bundles/client --keys keys/client --text "a fine film"\n',
    )
    .action(ask);
}
