/** `secure-infer explain` and `interpret`: what a run costs and what it computes, without secrecy. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import pc from 'picocolors';
import { Failure, InputError, RefusedError } from '../../common/errors.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { fixedPredict, interpret } from '../../export/clear.ts';
import { loadProvider, type Provider } from '../../export/provider.ts';
import { parseProgram } from '../../protocol/codec.ts';
import { programCost } from '../../protocol/cost.ts';
import { decode } from '../../ring/index.ts';
import { loadKernels } from '../../ring/kernels/node.ts';
import { decodeAnswer } from '../../runtime/client/answer.ts';
import { seededMasks, tapeOf } from '../../runtime/memory.ts';
import { tokenise } from './asker.ts';
import { questions, wholeNumber, withQuestions, type QuestionOptions } from './options.ts';
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
  const examples = await questions(options);
  await loadKernels();
  const provider = await loadProvider(providerDir(dir));
  const tokenizer = await loadTokenizer(providerDir(dir));
  const texts = tokenise(tokenizer, provider.program.longest, examples, options.truncate === true);
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
    const logits = replay(provider, text, transcript, seed!, index);
    const secured = readClient(transcript, index);
    const identical =
      logits.length === secured.logits.length && logits.every((v, i) => Object.is(v, secured.logits[i]));
    if (!identical) different++;
    print({ ...decodeAnswer(logits, labels, task), identical });
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

interface ExplainOptions {
  readonly tokens: number;
  readonly gates?: boolean;
  readonly json?: boolean;
}

interface Row {
  readonly name: string;
  gates: number;
  openedBits: number;
  dealtBits: number;
  clientBits: number;
  multiplyAdds: number;
}

async function explain(dir: string, options: ExplainOptions): Promise<void> {
  const found = ['.', 'assistant', 'provider', 'party0', 'party1']
    .map((role) => join(dir, role, 'program.json'))
    .find(existsSync);
  if (found === undefined) throw new InputError(`${dir}: no program.json`, 'Give a folder that export-shares wrote.');
  const program = parseProgram(await readFile(found, 'utf8'), found);
  const cost = programCost(program, { lengths: [options.tokens], heads: program.heads });
  const rows = new Map<string, Row>();
  for (const gate of cost.gates) {
    const key = options.gates ? gate.name : gate.op;
    const row = rows.get(key) ?? { name: key, gates: 0, openedBits: 0, dealtBits: 0, clientBits: 0, multiplyAdds: 0 };
    row.gates++;
    row.openedBits += gate.cost.openedBits;
    row.dealtBits += gate.cost.dealtBits;
    row.clientBits += gate.cost.clientBits;
    row.multiplyAdds += gate.cost.multiplyAdds.party0;
    rows.set(key, row);
  }
  const { total } = cost;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ tokens: options.tokens, gates: [...rows.values()], total })}\n`);
    return;
  }
  const bytes = (bits: number): string =>
    bits === 0 ? '' : bits < 8e6 ? `${(bits / 8e3).toFixed(1)} kB` : `${(bits / 8e6).toFixed(2)} MB`;
  const millions = (count: number): string => (count === 0 ? '' : `${(count / 1e6).toFixed(1)} M`);
  const line = (cells: readonly string[]): string =>
    `${cells[0]!.padEnd(18)}${cells
      .slice(1)
      .map((c) => c.padStart(13))
      .join('')}\n`;
  process.stdout.write(
    pc.bold(line([options.gates ? 'gate' : 'op', 'gates', 'opened', 'dealt', 'from client', 'products'])),
  );
  for (const r of rows.values())
    process.stdout.write(
      line([
        r.name,
        String(r.gates),
        bytes(r.openedBits),
        bytes(r.dealtBits),
        bytes(r.clientBits),
        millions(r.multiplyAdds),
      ]),
    );
  process.stdout.write(
    pc.bold(
      line([
        'total',
        String(cost.gates.length),
        bytes(total.openedBits),
        bytes(total.dealtBits),
        bytes(total.clientBits),
        millions(total.multiplyAdds.party0),
      ]),
    ),
  );
  process.stdout.write(
    `${total.rounds} rounds for ${options.tokens} tokens. Opened: each party to the other. Dealt: assistant to party 1. Products: ring multiply-adds of each party.\n`,
  );
}

export function addOwnerCommands(program: Command): void {
  withQuestions(program.command('interpret <provider>'))
    .description(
      'Runs the fixed-point program on plaintext (the model owner’s check). With --transcript: repeats a deterministic run.',
    )
    .option('--seed <seed>', 'seed of the rounding, or of the run that wrote the transcript')
    .option(
      '--transcript <dir>',
      'transcript of `local --seed S` for the same texts: says whether the logits are identical',
    )
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      '\nExamples:\n  secure-infer interpret bundles --file texts.txt --json\n  secure-infer interpret bundles --file texts.txt --seed 1 --transcript t\n',
    )
    .action(interpretCommand);
  program
    .command('explain <bundle>')
    .description('What answering one text costs, by sort of gate.')
    .option('--tokens <n>', 'length of the text in tokens', wholeNumber, 128)
    .option('--gates', 'one line a gate')
    .option('--json', 'one JSON object')
    .addHelpText('after', '\nExample:\n  secure-infer explain bundles --tokens 128\n')
    .action(explain);
}
