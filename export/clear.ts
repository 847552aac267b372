/**
 * The clear fixed-point interpreter: the same program on plain integers, by the clear halves of the gates. With the rounding
 * words and Fourier masks of a secret-shared run (its tape) it reproduces every wire of that run bit for bit; with uniform
 * words of its own it predicts what a secured run would answer, up to rounding.
 */
import { RefusedError } from '../common/errors.ts';
import type { ClearContext, ClearValue } from '../protocol/gate.ts';
import { KINDS } from '../protocol/gate.ts';
import type { Program, Resolved } from '../protocol/program.ts';
import { bucketOf, padText, type PaddedTokens } from '../protocol/gates/padding.ts';
import { resolve, tensorsOf, trigOf } from '../protocol/resolve.ts';
import { definitionOf } from '../protocol/suite/masked.ts';
import { expand, extract, leaf } from '../ring/prg-node.ts';
import { decode, fromNumbers, resize, type Words } from '../ring/index.ts';

/** Where the rounding words u ∈ [0, 2^by) and the Fourier masks r ∈ [0, 2^b) of a run come from. */
export interface Tape {
  rounding(gate: Resolved, by: number, length: number): Words;
  fourierMask(gate: Resolved, b: number, length: number): Words;
}

/** Uniform words by AES-128-CTR, named by seed and gate: equal seeds, equal runs. Not secret. */
export function seededTape(seed: number | string, program: Program): Tape {
  const key = extract(Buffer.from('smpc/clear-tape/1'), Buffer.from(String(seed)));
  const index = new Map(program.gates.map((gate, i) => [gate.name, i]));
  const draw = (gate: Resolved, kind: number, n: number, length: number): Words =>
    expand(leaf(key, { gate: index.get(gate.name)!, kind, wire: 0, n, rows: length, cols: 1 }), n, length);
  return {
    rounding: (gate, by, length) => draw(gate, 0, by, length),
    fourierMask: (gate, b, length) => draw(gate, KINDS.r, b, length),
  };
}

/** Plaintext integers of a tensor in a ring. */
export type Integers = (name: string, n: number) => Words;

/** Reads integers by name, encoding each ring once. */
export function integersOf(
  program: Program,
  tensors: ReadonlyMap<string, { readonly data: ArrayLike<number> }>,
): Integers {
  const widest = new Map<string, Words>();
  return (name, n) => {
    let words = widest.get(name);
    if (words === undefined) {
      const tensor = tensors.get(name);
      if (tensor === undefined) throw new Error(`no integers for tensor ${name}`);
      widest.set(name, (words = fromNumbers(tensor.data, program.tensors[name]!.n)));
    }
    return resize(words, n);
  };
}

/**
 * Runs a program on texts, stacked as in a session; where lengths are hidden, padded to their buckets.
 * @param seen called with every wire, in program order
 * @throws RefusedError if a value leaves the range of its opening: a secured run would answer at random
 */
export function interpret(
  program: Program,
  integers: Integers,
  given: readonly PaddedTokens[],
  tape: Tape,
  seen?: (gate: Resolved, value: Words) => void,
): Words {
  const texts = given.map((text) => padText(text, program.buckets));
  const dims = { lengths: texts.map((t) => t.ids.length), heads: program.heads };
  const context: ClearContext = {
    dims,
    rounding: tape.rounding,
    fourierMask: tape.fourierMask,
    weight: integers,
    ids: texts.map((t) => t.ids),
    types: texts.map((t) => t.types),
    ...(program.buckets && { valid: texts.map((t) => t.valid!) }),
    tensor: tensorsOf(program),
    trig: trigOf(program),
  };
  const gates = resolve(program, dims);
  const last = gates.map((_, i) => i);
  gates.forEach((gate, i) => gate.in.forEach((wire) => (last[wire] = i)));
  last[program.output] = gates.length;
  const values: (ClearValue | undefined)[] = [];
  gates.forEach((gate, i) => {
    const inputs = gate.in.map((wire) => values[wire]!);
    const value = definitionOf(gate).clear(gate, inputs, context);
    values[i] = value;
    seen?.(gate, value.x);
    for (const wire of gate.in) if (last[wire] === i) values[wire] = undefined;
  });
  return values[program.output]!.x;
}

export interface PredictOptions {
  readonly seed?: number | string;
  /** Texts that run together, by their number of tokens. */
  readonly tokens?: number;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Fixed-point logits of many texts, (texts) rows of one number per label; a text whose values leave their range gives its
 * refusal instead.
 */
export function fixedPredict(
  program: Program,
  integers: Integers,
  texts: readonly PaddedTokens[],
  { seed = 0, tokens = 1024, progress }: PredictOptions = {},
): (Float64Array | RefusedError)[] {
  const out: (Float64Array | RefusedError)[] = [];
  const scale = program.gates[program.output]!.f;
  const run = (batch: readonly PaddedTokens[], from: number): (Float64Array | RefusedError)[] => {
    try {
      const tape = seededTape(`${seed}/${from}`, program);
      const logits = decode(interpret(program, integers, batch, tape), scale);
      return batch.map((_, i) => logits.slice(i * program.labels, (i + 1) * program.labels));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      if (batch.length === 1) return [error];
      return batch.flatMap((text, i) => run([text], from + i));
    }
  };
  for (let from = 0; from < texts.length;) {
    let to = from + 1;
    const size = (text: PaddedTokens): number => bucketOf(text.ids.length, program.buckets);
    let count = size(texts[from]!);
    while (to < texts.length && (count += size(texts[to]!)) <= tokens) to++;
    out.push(...run(texts.slice(from, to), from));
    progress?.(to, texts.length);
    from = to;
  }
  return out;
}
