/** `secure-infer explain` and `interpret`: what a run costs and what it computes, without secrecy. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { fixedPredict, interpret } from '../../export/clear.ts';
import { loadProvider, type Provider } from '../../export/provider.ts';
import { decode } from '../../ring/index.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { decodeAnswer } from '../../runtime/client/answer.ts';
import { seededMasks, tapeOf } from '../../runtime/memory.ts';
import { withQuestions, type QuestionOptions } from './options.ts';
import { questions, tokenise } from './texts.ts';
import { addExplainCommand } from './explain-command.ts';
import { readClient, readRounding } from './transcript.ts';

interface InterpretOptions extends QuestionOptions {
  readonly json?: boolean;
  readonly seed?: string;
  readonly transcript?: string;
}

/** OUT or OUT/provider. */
const providerDir = (dir: string): string => (existsSync(join(dir, 'provider')) ? join(dir, 'provider') : dir);

async function interpretCommand(dir: string, options: InterpretOptions): Promise<void> {
  const { seed, transcript } = options;
  if (transcript !== undefined && seed === undefined)
    throw new InputError('--transcript needs --seed', 'give the seed of the run that wrote it');
  const asked = await questions(options);
  await loadKernels();
  const provider = await loadProvider(providerDir(dir));
  const tokenizer = await loadTokenizer(providerDir(dir));
  const { encodings: texts } = tokenise(tokenizer, provider.bundle.manifest, asked, options.truncate === true);
  const { labels, task } = provider.bundle.manifest;
  const print = (line: object): void =>
    void process.stdout.write(`${options.json ? JSON.stringify(line) : plain(line)}\n`);

  if (transcript === undefined) {
    for (const logits of fixedPredict(provider.program, provider.integers, texts, seed === undefined ? {} : { seed })) {
      print(
        logits instanceof RefusedError
          ? { refused: logits.message, logits: [] }
          : decodeAnswer([...logits], labels, task),
      );
    }
    return;
  }
  let different = 0;
  texts.forEach((text, index) => {
    const logits = orNone(() => replay(provider, text, transcript, seed!, index));
    const secured = readClient(transcript, index);
    const identical =
      logits.length === secured.logits.length && logits.every((v, i) => Object.is(v, secured.logits[i]));
    if (!identical) different++;
    print({ ...(logits.length === 0 ? { withheld: true, logits } : decodeAnswer(logits, labels, task)), identical });
  });
  process.stderr.write(
    `${texts.length - different} of ${texts.length} texts: logits identical to the secured run, bit for bit\n`,
  );
  if (different > 0)
    throw new Failure(
      `${different} texts differ from the secured run`,
      'give the transcript, seed, bundles and texts of one run',
    );
}

/** None where the run is refused, as its guard withholds the answer then. */
function orNone(logits: () => number[]): number[] {
  try {
    return logits();
  } catch (error) {
    if (error instanceof RefusedError) return [];
    throw error;
  }
}

/** The logits of the index-th text of a deterministic run, from its seed and rounding words and the plaintext integers. */
function replay(
  { program, integers }: Provider,
  text: { readonly ids: readonly number[]; readonly types: readonly number[] },
  transcript: string,
  seed: string,
  index: number,
): number[] {
  const tape = tapeOf(program, readRounding(transcript, index), seededMasks(seed, index));
  const encoding = { ids: [...text.ids], types: [...text.types] };
  return [...decode(interpret(program, integers, [encoding], tape), program.gates[program.output]!.f)];
}

const plain = (line: object): string =>
  Object.entries(line)
    .map(([key, value]) => `${key} ${JSON.stringify(value)}`)
    .join('  ');

/** `interpret`: what the model owner runs on plaintext. */
export function addOwnerCommands(program: Command): void {
  withQuestions(program.command('interpret <provider>'))
    .description(
      'Runs the fixed-point program on plaintext (the model owner’s check). With --transcript: repeats a deterministic run.',
    )
    .option('--seed <seed>', 'seed of the rounding (default: 0), or of the run that wrote the transcript')
    .option(
      '--transcript <dir>',
      'transcript of `local --seed S` for the same texts: says whether the logits are identical',
    )
    .option(
      '--json',
      'one JSON object a line: label, probabilities, logits (or score); refused where a guard flags the text',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  secure-infer interpret bundles --file texts.txt --json\n  secure-infer interpret bundles --file texts.txt --seed 1 --transcript t\n',
    )
    .action(interpretCommand);
  addExplainCommand(program);
}
