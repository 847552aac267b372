/** From a symbolic program to gates with concrete rings, and every check a program must pass before its first gate. */
import { PlanError } from './errors.ts';
import { fourierDigest, type Hash } from './digest.ts';
import { MAX_RING, need, shapeIs } from './check.ts';
import { centreConstants } from './gates/centre.ts';
import { TRIG_BITS } from './gates/fourier.ts';
import { PROGRAM_VERSION } from './program.ts';
import type { Gate, Program, Resolved, Ring, TensorSpec, TrigTable } from './program.ts';
import type { Dims } from './shape.ts';
import type { WireType } from './gate.ts';
import { MASKED, definitionOf } from './suite/masked.ts';

export { PlanError } from './errors.ts';

/** Ring bits that row-centring adds for a session: the most over its texts of k (keys) and e (queries), see `centre`. */
export function centringBits(dims: Dims): { readonly keys: number; readonly queries: number } {
  const constants = dims.lengths.map(centreConstants);
  return { keys: Math.max(...constants.map(({ k }) => k)), queries: Math.max(...constants.map(({ e }) => e)) };
}

/**
 * Every gate with its ring for the session's lengths and the shapes of its input wires.
 * @throws PlanError where the lengths or heads are not the program's.
 */
export function resolve(program: Program, dims: Dims): Resolved[] {
  if (dims.heads !== program.heads)
    throw new PlanError(`${dims.heads} heads, the program has ${program.heads}`, 'take the heads of the program');
  if (dims.lengths.length === 0) throw new PlanError('a session without a text', 'send at least one text');
  for (const length of dims.lengths)
    if (!Number.isInteger(length) || length < program.shortest || length > program.longest)
      throw new PlanError(
        `a text of ${length} tokens; the model was calibrated for ${program.shortest} to ${program.longest}`,
        'shorten the text, or export with a larger maximum length',
      );
  for (const length of dims.lengths)
    if (program.buckets?.includes(length) === false)
      throw new PlanError(
        `a text of ${length} tokens, not of a bucket (${program.buckets.join(', ')})`,
        'pad texts, and deal, for its buckets only',
      );
  const bits = centringBits(dims);
  const ring = (n: Ring): number => (typeof n === 'number' ? n : n.base + bits[n.plus]);
  return program.gates.map((gate) => ({
    ...gate,
    n: ring(gate.n),
    inShapes: gate.in.map((wire) => program.gates[wire]!.shape),
  }));
}

/** Looks a tensor up by name; refuses a name the program does not declare. */
export const tensorsOf =
  (program: Program) =>
  (name: string): TensorSpec => {
    const spec = Object.hasOwn(program.tensors, name) ? program.tensors[name] : undefined;
    if (spec === undefined) throw new PlanError(`tensor ${name} is not in the program`, 'export the model again');
    return spec;
  };

/** Looks a trig table up by its period; refuses one the program does not ship. */
export const trigOf =
  (program: Program) =>
  (b: number): TrigTable => {
    const table = Object.hasOwn(program.trig, String(b)) ? program.trig[b] : undefined;
    if (table === undefined) throw new PlanError(`no trig table of period 2^${b}`, 'export the model again');
    return table;
  };

/**
 * The type of every wire for the session's lengths, by the type check of every gate.
 * @throws PlanError naming the first gate whose precondition fails.
 */
export function wireTypes(program: Program, dims: Dims): WireType[] {
  const tensor = tensorsOf(program);
  const types: WireType[] = [];
  for (const gate of resolve(program, dims)) {
    const inputs = gate.in.map((wire) => types[wire]!);
    types.push(gateType(gate, inputs, tensor, dims));
  }
  return types;
}

/** The type of one gate's output, all its preconditions checked. @throws PlanError */
export function gateType(
  gate: Resolved,
  inputs: readonly WireType[],
  tensor: (name: string) => TensorSpec,
  dims: Dims,
): WireType {
  const fits = Number.isInteger(gate.n) && gate.n >= 1 && gate.n <= MAX_RING;
  need(gate, fits, `ring of ${gate.n} bits`, `rings have 1 to ${MAX_RING} bits`);
  return definitionOf(gate).type(gate, inputs, tensor, dims);
}

/** Names are unique, wires are used after they are made, the output exists. */
export function checkStructure(program: Program): void {
  const names = new Set<string>();
  program.gates.forEach((gate, index) => {
    need(gate, !names.has(gate.name), 'its name is taken', 'names are part of the key schedule: make them unique');
    names.add(gate.name);
    const made = (wire: number): boolean => Number.isInteger(wire) && wire >= 0 && wire < index;
    need(gate, gate.in.every(made), `input wires [${gate.in.join(', ')}] of gate ${index}`, 'use only earlier wires');
  });
  if (program.gates[program.output] === undefined)
    throw new PlanError(
      `output wire ${program.output} of ${program.gates.length} gates`,
      'name the wire of the logits',
    );
  checkGuard(program);
}

/** Every flag counts: `guard` lists the guard gates, each once, and nothing else. */
function checkGuard({ gates, guard = [] }: Program): void {
  const listed = new Set(guard);
  const complete = gates.every(({ op }, wire) => listed.has(wire) === (op === 'guard'));
  if (complete && listed.size === guard.length) return;
  throw new PlanError('the flag wires of the program are not its guard gates', 'list every guard gate once');
}

/**
 * Texts whose checks imply those of all others: rings depend on a length only through k and e, and grow with them, so the longest
 * text of every (k, e) will do; the batch of all of them has the largest rings beside the smallest.
 */
function sessions(program: Program): Dims[] {
  const byBits = new Map<string, number>();
  const legal = program.buckets ?? Array.from({ length: program.longest - program.shortest + 1 }, (_, i) => program.shortest + i); // prettier-ignore
  for (const L of legal) {
    const { k, e } = centreConstants(L);
    byBits.set(`${k},${e}`, L);
  }
  const lengths = [...byBits.values()];
  return [...lengths.map((L) => [L]), lengths].map((texts) => ({ lengths: texts, heads: program.heads }));
}

function must(holds: boolean, problem: string): void {
  if (!holds) throw new PlanError(`program: ${problem}`, 'export the model again with this version of the toolkit');
}

/** Longest text a program may state; positions and centring constants are sized for it. */
const MAX_LENGTH = 1 << 16;

/**
 * All a program must satisfy before its first gate: version and suite, structure, the precondition of every gate at every legal
 * length, the trig tables' form and the digest of every Fourier table.
 * @param sha256 lower-case hex of the SHA-256 of the bytes.
 * @throws PlanError
 */
export function checkProgram(program: Program, sha256: Hash<string>): void {
  must(program.version === PROGRAM_VERSION, `version ${program.version}, this is version ${PROGRAM_VERSION}`);
  must(program.suite === MASKED, `unknown suite ${program.suite}`);
  const hidden = program.gates.filter(({ op }) => op === 'padding').length;
  must(['public', 'secret'].includes(program.length), `unknown length mode ${program.length as string}`);
  must(hidden === (program.length === 'secret' ? 1 : 0), `${hidden} padding factors of a ${program.length} length`);
  const { shortest, longest } = program;
  must(1 <= shortest && shortest <= longest && longest <= MAX_LENGTH, `lengths ${shortest} to ${longest}`);
  must(program.heads >= 1 && program.hidden % program.heads === 0, `${program.hidden} columns, ${program.heads} heads`);
  const { buckets } = program;
  must(
    (buckets !== undefined) === (program.length === 'secret'),
    'buckets are for secret lengths, and these need them',
  );
  const ascending = buckets?.every((size, i) => size > (buckets[i - 1] ?? shortest - 1)) ?? true;
  must(
    ascending && (buckets?.at(-1) ?? longest) === longest,
    `buckets ${buckets?.join(', ')} of ${shortest} to ${longest} tokens`,
  );
  checkStructure(program);
  for (const dims of sessions(program)) {
    const output = wireTypes(program, dims)[program.output]!;
    const gate = program.gates[program.output]!;
    shapeIs(gate, 'the program output', output.shape, { rows: 'text', cols: program.labels });
    must(output.kind === 'share', `output wire ${gate.name} is ${output.kind}, not share`);
  }
  for (const [b, table] of Object.entries(program.trig)) checkTrig(Number(b), table);
  const trig = trigOf(program);
  for (const gate of program.gates)
    if (gate.op === 'fourier' || gate.op === 'paddedFourier') checkDigest(gate, trig(gate.table.b), sha256);
}

function checkTrig(b: number, { l, hiCos, hiSin, loCos, loSin }: TrigTable): void {
  const limit = 2 ** TRIG_BITS;
  const column = (values: readonly number[], length: number): boolean =>
    values.length === length && values.every((v) => Number.isInteger(v) && Math.abs(v) <= limit);
  const high = 2 ** (b - l);
  const low = 2 ** l;
  if (l === Math.floor(b / 2) && column(hiCos, high) && column(hiSin, high) && column(loCos, low) && column(loSin, low))
    return;
  throw new PlanError(`trig table of period 2^${b} is malformed`, 'export the model again');
}

function checkDigest(
  gate: Extract<Gate, { op: 'fourier' | 'paddedFourier' }>,
  trig: TrigTable,
  sha256: Hash<string>,
): void {
  need(
    gate,
    fourierDigest(gate.table, trig, sha256) === gate.table.digest,
    'its integers do not have the digest of the table',
    'the program was altered: export or copy it again (one unit of difference between the parties randomises the answer)',
  );
}
