/** What a party's gates draw on: masks of the session, static data of the model, the client's message. */
import type { ClientName, Kind, PartyContext } from '../protocol/gate.ts';
import type { Program, Resolved } from '../protocol/program.ts';
import { tensorsOf, trigOf } from '../protocol/resolve.ts';
import type { Dims } from '../protocol/shape.ts';
import { outside, packMatrix, resize, type Factor, type Words } from '../ring/index.ts';
import type { Corrections } from './deal.ts';
import type { MaskSource } from './keys.ts';

/** A party's share of one model version, in the rings of its tensors. */
export interface PartyModel {
  readonly party: 0 | 1;
  readonly program: Program;
  /** F, and V = F + B_0 at party 0, V = B_1 at party 1. */
  weight(name: string): { readonly F: Words; readonly V: Words };
  share(name: string): Words;
}

const low = (x: Words, n: number): Words => (x.n === n ? x : resize(x, n));

/** Rings kept of a tensor whose ring changes with the length of the text. */
const RINGS_KEPT = 4;

/**
 * `make(name, n)` remembered for the rings of a tensor asked for last: texts of like length reduce once. Most tensors have one
 * ring whatever the length.
 */
export function inRing<T>(make: (name: string, n: number) => T): (name: string, n: number) => T {
  const kept = new Map<string, Map<number, T>>();
  return (name, n) => {
    let rings = kept.get(name);
    if (rings === undefined) kept.set(name, (rings = new Map()));
    let value = rings.get(n);
    // Deleted and set again: a map lists its keys in the order in which they were set.
    if (value === undefined) value = outside(() => make(name, n));
    else rings.delete(n);
    rings.set(n, value);
    if (rings.size > RINGS_KEPT) rings.delete(rings.keys().next().value!);
    return value;
  };
}

/**
 * Masked tensors for products, `make`d once: matrices packed, in their own ring whatever ring is asked for, which a product in a
 * narrower one reads as it is; rows as words of the ring asked for.
 */
export function factors<K extends string>(
  program: Program,
  make: (name: string) => Readonly<Record<K, Words>>,
): (name: string, n: number) => Readonly<Record<K, Factor>> {
  const spec = tensorsOf(program);
  const each = (words: Readonly<Record<K, Words>>, f: (w: Words) => Factor): Readonly<Record<K, Factor>> =>
    Object.fromEntries(Object.entries<Words>(words).map(([key, w]) => [key, f(w)])) as Record<K, Factor>;
  const packed = new Map<string, Readonly<Record<K, Factor>>>();
  const rows = inRing((name, n) => each(make(name), (w) => low(w, n)));
  return (name, n) => {
    const { rows: height, cols } = spec(name);
    if (height === 1) return rows(name, n);
    let value = packed.get(name);
    if (value === undefined) {
      value = outside(() => each(make(name), (w) => packMatrix(w, height, cols)));
      packed.set(name, value);
    }
    return value;
  };
}

/** The same model as its gates use it. Make one per process, not per session. */
export interface StaticData {
  weight(name: string, n: number): { readonly F: Factor; readonly V: Factor };
  share(name: string, n: number): Words;
}

export const staticData = (model: PartyModel): StaticData => ({
  weight: factors(model.program, (name) => model.weight(name)),
  share: inRing((name, n) => low(model.share(name), n)),
});

/** Makes every masked tensor now, one at a time, rather than in the first session. */
export function makeReady(program: Program, weight: (name: string, n: number) => unknown): void {
  for (const [name, { role, rows, n }] of Object.entries(program.tensors))
    if (role === 'masked' && rows > 1) weight(name, n);
}

export interface PartyInputs {
  readonly dims: Dims;
  readonly data: StaticData;
  readonly masks: MaskSource;
  /** Party 1: what the assistant dealt. */
  readonly corrections?: Corrections;
  /** The client's message; asked for when it is there. */
  readonly client: (name: ClientName) => Words;
  /** Oracles only: party 1's rounding words. */
  readonly rounding?: (gate: Resolved, u: Words) => void;
}

/** What a party half may draw on in one session; every mask and dealt word is given out once. */
export function partyContext(party: 0 | 1, program: Program, inputs: PartyInputs): PartyContext {
  const indexOf = new Map(program.gates.map((gate, index) => [gate.name, index]));
  const index = (gate: Resolved): number => indexOf.get(gate.name)!;
  const used = new Set<string>();
  const use = (gate: Resolved, kind: Kind): number => {
    const key = `${gate.name} ${kind}`;
    if (used.has(key)) throw new Error(`gate ${gate.name}: mask ${kind} drawn twice`);
    used.add(key);
    return index(gate);
  };
  const mask: PartyContext['mask'] = (gate, kind, n, length) => inputs.masks(use(gate, kind), kind, n, length);
  return {
    party,
    dims: inputs.dims,
    mask,
    dealt: (gate, kind, n, length) =>
      party === 0 ? mask(gate, kind, n, length) : inputs.corrections!.take(index(gate), kind, n, length),
    dealtInStretches(gate, kind, n, length) {
      if (party === 1) return inputs.corrections!.takeInStretches(index(gate), kind, n, length);
      const drawn = use(gate, kind);
      return (out, from) => void inputs.masks(drawn, kind, n, length, out, from);
    },
    weight: inputs.data.weight,
    share: inputs.data.share,
    client(gate, name, n, length) {
      const words = inputs.client(name);
      if (words.n !== n || words.length !== length) throw new Error(`gate ${gate.name}: ${name} has another size`);
      return words;
    },
    tensor: tensorsOf(program),
    trig: trigOf(program),
    ...(inputs.rounding === undefined ? {} : { rounding: inputs.rounding }),
  };
}
