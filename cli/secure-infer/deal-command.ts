/** `secure-infer deal`: the assistant's work of future sessions, to disk. */
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { readBundle } from '../../export/bundle.ts';
import type { Program } from '../../protocol/program.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { MAX_TEXTS, MAX_TOKENS } from '../../runtime/role/admission.ts';
import { assistantModel } from '../../runtime/role/assistant.ts';
import { checkRoom, dealAhead, dealSize, keeperKey } from '../../runtime/role/deal-ahead.ts';
import { readDeployment, servingCertificates } from '../../runtime/transport/deployment.ts';
import { progress } from '../ui/progress.ts';
import { onOutput } from '../ui/colour.ts';
import { batchSize, wholeNumber } from './options.ts';

interface DealOptions {
  readonly bundle: string;
  readonly deployment: string;
  /** Tokens of the texts of each sort of session. */
  readonly lengths: readonly (readonly number[])[];
  readonly batch: number;
  readonly count: number;
  readonly out: string;
  readonly days: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `16,24-26` is texts of 16, 24, 25, 26 tokens, `16+24` a session of two texts, in this order. */
export function parseLengths(given: string): number[][] {
  const sorts = given.split(',').flatMap((part) => {
    if (/^\d+(\+\d+)+$/.test(part.trim())) return [part.split('+').map(Number)];
    const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    const [first, last] = [Number(from), Number(to)];
    if (!(first >= 1 && last >= first && last - first < MAX_TOKENS))
      throw new InvalidArgumentError('numbers of tokens, ranges and sums of them are due, like 16,24-26,16+24.');
    return Array.from({ length: last - first + 1 }, (_, i) => [first + i]);
  });
  return [...new Map(sorts.map((lengths) => [lengths.join('+'), lengths])).values()];
}

/**
 * Tokens of the texts of each sort of session: a single length `batch` times, several as they are.
 * @throws InputError for lengths beyond the model's, sums beside a batch, or more than a session takes
 */
export function dealtSessions(
  sorts: readonly (readonly number[])[],
  batch: number,
  { shortest, longest }: Pick<Program, 'shortest' | 'longest'>,
): number[][] {
  return sorts.map((lengths) => {
    const given = `--lengths ${lengths.join('+')}`;
    const outside = lengths.find((length) => length < shortest || length > longest);
    if (outside !== undefined)
      throw new InputError(`--lengths ${outside}: the model was calibrated for ${shortest} to ${longest} tokens`, 'correct --lengths'); // prettier-ignore
    if (lengths.length > 1 && batch > 1)
      throw new InputError(`${given} with --batch ${batch}`, 'a sum names every text of a session: leave --batch out');
    const session = lengths.length > 1 ? [...lengths] : new Array<number>(batch).fill(lengths[0]!);
    const tokens = session.reduce((a, b) => a + b, 0);
    if (session.length > MAX_TEXTS || tokens > MAX_TOKENS)
      throw new InputError(
        `${given}: ${session.length} texts of ${tokens} tokens in one session`,
        `at most ${MAX_TEXTS} texts and ${MAX_TOKENS} tokens share a session`,
      );
    return session;
  });
}

const size = (bytes: number): string => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`); // prettier-ignore

async function dealCommand(options: DealOptions): Promise<void> {
  const { count, out, days, json } = options;
  await loadKernels();
  const [bundle, deployment] = await Promise.all([
    readBundle(options.bundle, 'assistant'),
    readDeployment(options.deployment),
  ]);
  const model = assistantModel(bundle);
  const sessions = dealtSessions(options.lengths, options.batch, bundle.program);
  const sizes = sessions.map((lengths) => dealSize(model, lengths));
  const total = (of: (size: (typeof sizes)[number]) => number): number => count * sizes.reduce((sum, one) => sum + of(one), 0); // prettier-ignore
  const deals = count * sessions.length;
  const plan = { deals, sessions, dealtBytes: total((s) => s.dealtBytes), mostFileBytes: total((s) => s.fileBytes) }; // prettier-ignore
  process.stderr.write(`${deals} deals: ${size(plan.dealtBytes)} dealt, at most ${size(plan.mostFileBytes)} on disk\n`);
  let fileBytes = 0;
  if (options.dryRun !== true) {
    // Party 0's and the assistant's files have a few hundred bytes.
    await checkRoom(out, plan.mostFileBytes + 2 * 4096 * deals);
    const keeper = keeperKey(model.session.modelId, bundle.seeds);
    const bar = progress(`Dealing for ${deals} sessions`);
    let done = 0;
    for (const lengths of sessions) {
      for (let i = 0; i < count; i++) {
        const dealt = await dealAhead(model, keeper, {
          certificates: servingCertificates(deployment),
          out,
          lengths,
          lifetime: days * 86_400,
        });
        fileBytes += dealt.fileBytes;
        bar.update(++done, deals);
      }
    }
    keeper.erase();
    bar.succeed(`${deals} deals`);
  }
  const result = { command: 'deal', ...plan, ...(options.dryRun === true ? {} : { out, fileBytes }), days };
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else if (options.dryRun !== true)
    process.stdout.write(`${onOutput.bold(out)}: ${size(fileBytes)} for party 1; give ${join(out, 'party0')} and ${join(out, 'party1')} to the parties, keep ${join(out, 'assistant')}\n`); // prettier-ignore
}

/** `deal`. */
export function addDealCommand(program: Command): void {
  program
    .command('deal')
    .description('Deals the randomness of future sessions to disk: the assistant’s work, before anybody asks.')
    .requiredOption('--bundle <dir>', 'the assistant’s bundle')
    .requiredOption('--deployment <file>', 'the deployment file: a deal is for its three servers only')
    .requiredOption(
      '--lengths <list>',
      'tokens of a text, or of the texts of a session (16+24): a deal serves just these',
      parseLengths,
    )
    .requiredOption(
      '--out <dir>',
      'gets party0, party1 and assistant: the --stock of each; deals are added to what is there',
    ) // prettier-ignore
    .option('--count <n>', 'deals for each of them', wholeNumber, 1)
    .option('--batch <n>', 'texts of one session, where --lengths names one length', batchSize, 1)
    .option('--days <n>', 'how long a deal may be used', wholeNumber, 30)
    .option('--dry-run', 'only say how much it is')
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  secure-infer deal --bundle bundles/assistant --deployment keys/deployment.json --lengths 16-32 --count 4 --out stock
  secure-infer deal --bundle bundles/assistant --deployment keys/deployment.json --lengths 16+24+9 --out stock
  secure-infer assistant --bundle bundles/assistant --keys keys/assistant --stock stock/assistant
  secure-infer party --bundle bundles/party0 --keys keys/party0 --stock stock/party0
  secure-infer party --bundle bundles/party1 --keys keys/party1 --stock stock/party1

The files are sealed: party 1 can open one only with a seed that the assistant gives out once. Each deal is used once, also
after a crash. A stock that comes back from a backup is discarded. A party refuses a text for which nothing is dealt ahead,
unless it is started with --live.
`,
    )
    .action(dealCommand);
}
