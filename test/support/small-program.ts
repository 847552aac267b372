/**
 * A small classifier whose values stay inside every range, with its plaintext integers and a tokeniser of 30 tokens: enough
 * program to have one of each sort of message, small enough to run hundreds of times.
 */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CounterRandom } from '../../common/random.ts';
import { tokenizerJsonFromVocab } from '../../data/tokenizer.ts';
import { writeBundles } from '../../export/bundle.ts';
import { fourierDigest } from '../../protocol/digest.ts';
import {
  PROGRAM_VERSION,
  type FourierTable,
  type Gate,
  type Program,
  type Ring,
  type TensorSpec,
} from '../../protocol/program.ts';
import type { Shape } from '../../protocol/shape.ts';
import { trigTable } from './gate-cases.ts';
import { sha256 } from './tiny-program.ts';

const WORDS = [
  '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'the', 'film', 'good', 'bad', 'is', 'not', 'very', 'and', 'fine', 'dull', 'warm',
  'cold', 'story', 'actor', 'plot', 'of', 'it', 'was', 'we', 'liked', 'hated', '.', ',', '!',
]; // prettier-ignore

const HIDDEN = 4;
const SPLIT = 4;
const LONGEST = 12;

export const SMALL_LABELS = ['negative', 'positive', 'unsure'];

type Rest<G> = G extends Gate ? Omit<G, 'name' | 'in' | 'n' | 'f' | 'shape'> : never;

/** With one label it is a regression; guarded, its ext wire is watched. */
export function smallProgram(labels = SMALL_LABELS.length, guarded = false): Program {
  const gates: Gate[] = [];
  const tensors: Record<string, TensorSpec> = {};
  const put = (name: string, from: number[], n: Ring, f: number, shape: Shape, rest: Rest<Gate>): number =>
    gates.push({ name, in: from, n, f, shape, ...rest } as Gate) - 1;
  const tensor = (name: string, role: TensorSpec['role'], n: number, rows: number, cols: number): string => {
    tensors[name] = { role, n, rows, cols };
    return name;
  };
  const token: Shape = { rows: 'token', cols: HIDDEN };
  const text: Shape = { rows: 'text', cols: HIDDEN };
  const plain = {
    b: 12,
    a0: '5000000000',
    a: ['900', '-411'],
    bk: ['-70', '35'],
    g1: 20,
    g2: 12,
    fOut: 12,
    digest: '',
  };
  const table: FourierTable = { ...plain, digest: fourierDigest(plain, trigTable(12), sha256) };

  const rows = Math.ceil(WORDS.length / SPLIT) + 1;
  const emb = put('emb', [], 30, 8, token, { op: 'embedding', tensor: tensor('emb', 'masked', 30, rows, SPLIT * HIDDEN), vocab: WORDS.length, split: SPLIT }); // prettier-ignore
  const x = put('emb+', [emb], 30, 8, token, { op: 'bias', tensor: tensor('position', 'share', 30, LONGEST, HIDDEN), along: 'position' }); // prettier-ignore
  const E = put('E_x', [x], 30, 8, token, { op: 'open' });
  const u = put('W1', [E], 30, 16, token, { op: 'linear', tensor: tensor('W1', 'masked', 30, HIDDEN, HIDDEN), elementwise: false }); // prettier-ignore
  const t = put('t', [u], 20, 6, token, { op: 'truncate', by: 10 });
  const v = put('v', [t], 20, 6, token, { op: 'ext', lift: 40 });
  const guard = guarded
    ? [put('v.guard', [v], 1, 6, token, { op: 'guard', m: 4, levels: [{ n: 20, offset: 0, free: 7 }] })]
    : undefined;
  const square = put('P', [v], 40, 12, token, { op: 'square', rowSum: false });
  const p = put('Pt', [square], 34, 6, token, { op: 'truncate', by: 6 });
  const wave = put('g', [t], 56, 32, token, { op: 'fourier', table });
  const g = put('gt', [wave], 30, 6, token, { op: 'truncate', by: 26 });
  const y = put('y', [p, g], 30, 6, token, { op: 'add', sign: 1 });
  const cls = put('E_cls', [put('cls', [y], 30, 6, text, { op: 'firstToken' })], 30, 6, text, { op: 'open' });
  const out: Shape = { rows: 'text', cols: labels };
  const raw = put('Wc', [cls], 30, 16, out, { op: 'linear', tensor: tensor('Wc', 'masked', 30, HIDDEN, labels), elementwise: false }); // prettier-ignore
  const output = put('logits', [raw], 28, 14, out, { op: 'truncate', by: 2 });
  return {
    version: PROGRAM_VERSION, suite: 'masked', length: 'public', shortest: 2, longest: LONGEST, heads: 1, hidden: HIDDEN,
    vocab: WORDS.length, labels, gates, tensors, trig: { 12: trigTable(12) }, output, ...(guard && { guard }),
  }; // prettier-ignore
}

/** Plaintext integers of every tensor, |v| ≤ 100. */
export function smallTensors(program: Program, seed: number): Map<string, { data: Float64Array }> {
  return new Map(
    Object.entries(program.tensors).map(([name, { rows, cols }], i) => {
      const random = new CounterRandom(seed, i);
      return [name, { data: Float64Array.from({ length: rows * cols }, () => random.int(201) - 100) }];
    }),
  );
}

/** The last word, which `farToken` drives out of the range of the ext wire: between 2^18 and 3·2^18. */
export const FAR = WORDS.indexOf('!');

export function farToken(tensors: ReadonlyMap<string, { readonly data: Float64Array }>): void {
  // times the largest weight it meets, over 2^10: 2^19
  const largest = Math.max(...tensors.get('W1')!.data.slice(0, HIDDEN).map(Math.abs));
  tensors.get('emb')!.data.set([Math.round(2 ** 29 / largest), 0, 0, 0], FAR * HIDDEN);
}

/** Writes a tokeniser of the words above. */
export async function smallTokenizer(dir: string): Promise<string> {
  await mkdir(dir, { recursive: true });
  const config = { do_lower_case: true };
  await writeFile(join(dir, 'tokenizer.json'), JSON.stringify(tokenizerJsonFromVocab(WORDS, config)));
  await writeFile(join(dir, 'tokenizer_config.json'), JSON.stringify(config));
  return dir;
}

export interface SmallExport {
  /** Folder with party0, party1, assistant, client, provider. */
  readonly dir: string;
  readonly program: Program;
  readonly tensors: ReadonlyMap<string, { readonly data: Float64Array }>;
}

/** One export in a fresh temporary folder. */
export async function exportSmall(
  seed = 1,
  labels: readonly string[] = SMALL_LABELS,
  {
    guarded = false,
    change = (): void => undefined,
  }: { guarded?: boolean; change?: (tensors: SmallExport['tensors']) => void } = {},
): Promise<SmallExport> {
  const root = await mkdtemp(join(tmpdir(), 'small-export-'));
  const program = smallProgram(labels.length, guarded);
  const tensors = smallTensors(program, seed);
  change(tensors);
  const dir = join(root, 'bundles');
  await writeBundles(dir, {
    program,
    tensors,
    labels,
    tokenizerDir: await smallTokenizer(join(root, 'tokenizer')),
    provider: async (provider) => {
      await writeFile(
        join(provider, 'integers.json'),
        JSON.stringify([...tensors].map(([name, { data }]) => [name, [...data]])),
      );
    },
  });
  return { dir, program, tensors };
}
