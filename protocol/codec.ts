/** The program as a file: a strict schema, limits on size, and its canonical digest. */
import { z } from 'zod';
import { InputError } from '../common/errors.ts';
import { MAX_CELL_BITS } from './gates/guard-cells.ts';
import { MAX_TABLE_BITS } from './gates/lookup.ts';
import { checkStructure } from './resolve.ts';
import { PROGRAM_VERSION, type Program } from './program.ts';

export { canonicalJson, fourierDigest, programDigest, type Hash } from './digest.ts';

/** Largest program text that is read at all. */
export const MAX_PROGRAM_BYTES = 64 * 2 ** 20;
const MAX_GATES = 20_000;
const MAX_TENSORS = 20_000;
const MAX_INPUTS = 256;
const MAX_HARMONICS = 1024;
const MAX_PERIOD = 26;
const MAX_LEVELS = 64;

const count = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
const size = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const ringBits = z.int().min(1).max(128);
const bits = z.int().min(-256).max(256);
const name = z.string().min(1).max(100);
const word = z
  .string()
  .max(40)
  .regex(/^-?(0|[1-9][0-9]*)$/);
const word64 = word.refine((text) => BigInt.asIntN(64, BigInt(text)) === BigInt(text), 'not a 64-bit integer');

const ring = z.union([ringBits, z.strictObject({ base: ringBits, plus: z.enum(['keys', 'queries']) })]);
const shape = z.strictObject({
  rows: z.enum(['token', 'head', 'text', 'headText']),
  cols: z.union([size, z.literal('keys')]),
});
const base = {
  name,
  in: z.array(count).max(MAX_INPUTS).readonly(),
  n: ring,
  f: bits,
  shape,
  bound: z.exactOptional(z.number().min(0)),
};
const factor = z.strictObject({ longest: size, bits: z.int().min(0).max(8), centred: z.boolean() });
const level = z.strictObject({ n: ringBits, offset: z.int(), free: count });
const harmonics = z.array(word64).min(1).max(MAX_HARMONICS).readonly();
const table = z.strictObject({
  b: z.int().min(2).max(MAX_PERIOD),
  a0: word,
  a: harmonics,
  bk: harmonics,
  g1: z.int().min(0).max(28),
  g2: z.int().min(0).max(64),
  fOut: bits,
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});

const gate = z.discriminatedUnion('op', [
  z.strictObject({ ...base, op: z.literal('embedding'), tensor: name, vocab: size, split: size }),
  z.strictObject({
    ...base,
    op: z.literal('bias'),
    tensor: name,
    along: z.enum(['cols', 'position', 'head']),
    factor: z.exactOptional(factor),
  }),
  z.strictObject({ ...base, op: z.literal('open') }),
  z.strictObject({ ...base, op: z.literal('ext'), lift: ringBits }),
  z.strictObject({ ...base, op: z.literal('square'), rowSum: z.boolean() }),
  z.strictObject({ ...base, op: z.literal('product'), broadcast: z.enum(['none', 'row']) }),
  z.strictObject({ ...base, op: z.literal('linear'), tensor: name, elementwise: z.boolean() }),
  z.strictObject({ ...base, op: z.literal('matmul'), form: z.enum(['scores', 'context']) }),
  z.strictObject({
    ...base,
    op: z.literal('fourier'),
    table,
    columns: z.exactOptional(z.tuple([count, size]).readonly()),
  }),
  z.strictObject({ ...base, op: z.literal('truncate'), by: z.int().min(0).max(127) }),
  z.strictObject({ ...base, op: z.literal('centre'), side: z.enum(['keys', 'queries']), by: z.int().min(0).max(127) }),
  z.strictObject({ ...base, op: z.literal('lengthScale'), by: z.int().min(0).max(127), factor }),
  z.strictObject({
    ...base,
    op: z.literal('scale'),
    by: z
      .int()
      .min(1 - 2 ** 31)
      .max(2 ** 31 - 1),
  }),
  z.strictObject({ ...base, op: z.literal('sum') }),
  z.strictObject({ ...base, op: z.literal('add'), sign: z.union([z.literal(1), z.literal(-1)]) }),
  z.strictObject({ ...base, op: z.literal('concat') }),
  z.strictObject({ ...base, op: z.literal('mergeHeads') }),
  z.strictObject({ ...base, op: z.literal('firstToken') }),
  z.strictObject({ ...base, op: z.literal('padding') }),
  z.strictObject({ ...base, op: z.literal('paddingShare') }),
  z.strictObject({ ...base, op: z.literal('addKeys') }),
  z.strictObject({ ...base, op: z.literal('paddedFourier'), table }),
  z.strictObject({ ...base, op: z.literal('sumTokens') }),
  z.strictObject({
    ...base,
    op: z.literal('lookup'),
    table: z
      .array(z.int())
      .min(2)
      .max(2 ** MAX_TABLE_BITS)
      .readonly(),
  }),
  z.strictObject({ ...base, op: z.literal('outer') }),
  z.strictObject({ ...base, op: z.literal('phase') }),
  z.strictObject({ ...base, op: z.literal('lift') }),
  z.strictObject({
    ...base,
    op: z.literal('guard'),
    m: z.int().min(2).max(MAX_CELL_BITS),
    levels: z.array(level).min(1).max(MAX_LEVELS).readonly(),
    columns: z.exactOptional(z.tuple([count, size]).readonly()),
  }),
]);

const tensor = z.strictObject({ role: z.enum(['masked', 'share']), n: ringBits, rows: size, cols: size });
const column = z
  .array(z.int())
  .max(2 ** MAX_PERIOD)
  .readonly();
const trig = z.strictObject({ l: count, hiCos: column, hiSin: column, loCos: column, loSin: column });
const few = <T extends z.ZodType>(schema: T, most: number) =>
  z.record(name, schema).refine((record) => Object.keys(record).length <= most, `more than ${most} entries`);

const program = z.strictObject({
  version: z.literal(PROGRAM_VERSION),
  suite: name,
  length: z.enum(['public', 'secret']),
  shortest: size,
  longest: size,
  buckets: z.exactOptional(z.array(size).min(1).max(1024).readonly()),
  heads: size,
  hidden: size,
  vocab: size,
  labels: size,
  gates: z.array(gate).min(1).max(MAX_GATES).readonly(),
  tensors: few(tensor, MAX_TENSORS),
  trig: few(trig, MAX_PERIOD),
  output: count,
  guard: z.exactOptional(z.array(count).min(1).max(MAX_GATES).readonly()),
});

/**
 * Reads a program from its JSON text, or from the value already parsed.
 * @param where the file, for messages.
 * @throws InputError where the text is no program of this version; PlanError where its wires dangle or its names repeat.
 */
export function parseProgram(json: unknown, where = 'program'): Program {
  const hint = 'export the model again with this version of the toolkit';
  let value = json;
  if (typeof json === 'string') {
    if (json.length > MAX_PROGRAM_BYTES)
      throw new InputError(`${where}: ${json.length} characters, at most ${MAX_PROGRAM_BYTES} are read`, hint);
    try {
      value = JSON.parse(json);
    } catch (error) {
      throw new InputError(`${where}: not JSON (${(error as Error).message})`, hint);
    }
  }
  const result = program.safeParse(value);
  if (!result.success) {
    const [first] = result.error.issues;
    throw new InputError(`${where}: ${first!.path.join('.') || 'top level'}: ${first!.message}`, hint);
  }
  const parsed: Program = result.data;
  checkStructure(parsed);
  return parsed;
}
