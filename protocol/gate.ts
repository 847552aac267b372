/**
 * A gate: functionality, precondition, cost, error, dealer half, party half and clear half side by side, one file a gate.
 * Randomness is an argument and gates do no I/O: a party half yields what it opens, a driver moves the bytes.
 */
import { sub, xor, type Factor, type Words } from '../ring/index.ts';
import type { Gate, Resolved, TensorSpec, TrigTable } from './program.ts';
import type { Dims, Shape } from './shape.ts';

/**
 * Every sort of mask, pad and dealt word; the numbers are part of the key schedule and never change meaning. The names are
 * the specification's: a mask of party i is `<gate>.<kind>.<i>`, party 0's dealt words are `<gate>.<kind>.pad`.
 */
export const KINDS = {
  A: 1, r: 2, A1: 3, A2: 4, R: 5, AB: 6, RA: 7, q: 8, qm: 9, r2: 10, delta: 11, rA: 12, mA: 13, AC: 14, T: 15, cells: 16,
  beta: 17, a: 18, TA: 19,
  B: 32, share: 33, alpha: 40, rho: 41, sigma: 42, seal: 43, tag: 44,
} as const; // prettier-ignore
export type Kind = keyof typeof KINDS;

/** Kinds of dealt words that are shared by XOR; all others are additive. */
export const XOR_KINDS: ReadonlySet<Kind> = new Set(['cells']);

/** Party 1's share of a dealt value where party 0's is `pad`. */
export const dealtShare = (kind: Kind, value: Words, pad: Words): Words =>
  XOR_KINDS.has(kind) ? xor(value, pad) : sub(value, pad);

/** The type of a wire. */
export interface WireType {
  readonly kind: 'share' | 'operand' | 'ext' | 'phase' | 'bits' | 'padding';
  readonly n: number;
  readonly f: number;
  readonly shape: Shape;
  /** ext only: the largest ring it may be lifted to. */
  readonly lift?: number;
}

/** What a party holds of a wire. */
export type PartyValue =
  | { readonly kind: 'share'; readonly x: Words }
  /** Opened E = x − A and this party's share of A. */
  | { readonly kind: 'operand'; readonly E: Words; readonly A: Words }
  /** Opened c = v + 2^(n−2) + r, this party's r_i ∈ [0, 2^n) and shares of q and q + m in ring 2^(lift−n). */
  | {
      readonly kind: 'ext';
      readonly c: Words;
      readonly r: Words;
      readonly q: Words;
      readonly qm: Words;
      readonly lift: number;
    }
  /** Opened c = x + r mod 2^n. */
  | { readonly kind: 'phase'; readonly c: Words }
  /** XOR share of flags, 64 to a word of ring 64; every text starts a new word (see `guard`). */
  | { readonly kind: 'bits'; readonly x: Words }
  /** The client's β = μ ⊕ a, a bit a row (see `padding`). */
  | { readonly kind: 'padding'; readonly beta: Words };

/** What the assistant knows of a wire: masks only, never a value. */
export type DealerValue =
  | { readonly kind: 'share' }
  /** A = A_0 + A_1 mod 2^n. */
  | { readonly kind: 'operand'; readonly A: Words }
  /** r = r_0 + r_1 mod 2^n and its top bit m (ring 1). */
  | { readonly kind: 'ext'; readonly r: Words; readonly m: Words }
  /** r = r_0 + r_1 mod 2^n. */
  | { readonly kind: 'phase'; readonly r: Words }
  /** a = a_0 ⊕ a_1, a bit a row. */
  | { readonly kind: 'padding'; readonly a: Words };

/** The value itself, modulo the wire's ring. For ext the input is checked to lie in [−2^(n−2), 2^(n−2)). */
export interface ClearValue {
  readonly x: Words;
  /** ext and phase: c and its mask r, from the tape. A function: only guards and Fourier gates need them. */
  readonly opening?: () => { readonly c: Words; readonly r: Words };
}

/** A client's message to both parties, by name: two one-hots of the embedding, the bits of `padding`. */
export type ClientName = 'E1' | 'E2' | 'beta';

/** A value about to be opened: both parties send n-bit words, the sum modulo 2^n becomes known to both. */
export interface Opening {
  readonly n: number;
  readonly x: Words;
  /** Why the sum may be public. */
  readonly reason: string;
}

/** What a party's half makes of masks and weights alone, before any value is known. By name; used once. */
export type Ahead = Readonly<Record<string, Words>>;

export interface PartyContext {
  readonly party: 0 | 1;
  readonly dims: Dims;
  /** This party's own one-time mask, uniform in Z_2^n. */
  mask(gate: Resolved, kind: Kind, n: number, length: number): Words;
  /** This party's share of a dealt word: party 0 expands it from its seed, party 1 has the assistant's correction. */
  dealt(gate: Resolved, kind: Kind, n: number, length: number): Words;
  /**
   * The same for words that are read once and in order, too many to hold: what it returns fills `out` with the words from `from`
   * on, `from` and all stretches but the last being multiples of eight.
   */
  dealtInStretches(gate: Resolved, kind: Kind, n: number, length: number): (out: Words, from: number) => void;
  /**
   * Masked tensor for products in ring n: F, and V = F + B_0 at party 0, V = B_1 at party 1. A matrix may come packed, from any
   * ring ≥ n; a row comes as words of ring n.
   */
  weight(name: string, n: number): { readonly F: Factor; readonly V: Factor };
  /** This party's additive share of a static tensor, reduced to ring n. */
  share(name: string, n: number): Words;
  client(gate: Resolved, name: ClientName, n: number, length: number): Words;
  tensor(name: string): TensorSpec;
  trig(b: number): TrigTable;
  /** Party 1 only, for oracles: the rounding words u of a truncation. Absent when serving. */
  rounding?(gate: Resolved, u: Words): void;
}

export interface DealerContext {
  readonly dims: Dims;
  /** Party i's one-time mask, the same words the party draws. */
  mask(gate: Resolved, kind: Kind, party: 0 | 1, n: number, length: number): Words;
  /** Deals shares of `value`: party 0's is its pad, party 1 is sent value − pad (`dealtShare`; value ⊕ pad for `XOR_KINDS`). */
  deal(gate: Resolved, kind: Kind, value: Words): void;
  /** The same for words too many to hold: `fill` is asked for them in order, `step` (a multiple of eight) at a time. */
  dealInStretches(gate: Resolved, kind: Kind, n: number, length: number, step: number, fill: (out: Words, from: number) => void): void; // prettier-ignore
  /** B = B_0 + B_1 for products in ring n, as a party's `weight`. */
  maskedWeight(name: string, n: number): Factor;
  tensor(name: string): TensorSpec;
  trig(b: number): TrigTable;
}

export interface ClearContext {
  readonly dims: Dims;
  /**
   * The tape: rounding words u ∈ [0, 2^by) of a truncation, the mask r ∈ [0, 2^b) of a Fourier gate (of a `phase` or a guarded
   * `ext` likewise, in its ring). `centre` asks once with
   * the largest `by` of its texts and reduces the words of a text that drops fewer bits.
   */
  rounding(gate: Resolved, by: number, length: number): Words;
  fourierMask(gate: Resolved, b: number, length: number): Words;
  /** The plaintext integers of a tensor in ring n. */
  weight(name: string, n: number): Words;
  readonly ids: readonly (readonly number[])[];
  readonly types: readonly (readonly number[])[];
  /** Hidden lengths: 1 for every real token of a text, 0 for padding. */
  readonly valid?: readonly (readonly number[])[];
  tensor(name: string): TensorSpec;
  trig(b: number): TrigTable;
}

/** What a gate costs, for concrete lengths. */
export interface Cost {
  readonly rounds: number;
  /** Bits each party sends to the other. */
  readonly openedBits: number;
  /** Bits the assistant sends (to party 1). */
  readonly dealtBits: number;
  /** Bits the client sends to each party. */
  readonly clientBits: number;
  /** Ring multiply-adds of matrix and elementwise products. */
  readonly multiplyAdds: { readonly party0: number; readonly party1: number; readonly assistant: number };
}

export interface GateDefinition<G extends Gate> {
  readonly op: G['op'];
  /** Type of the output wire. Checks every precondition; throws PlanError naming the gate, the rings and the remedy. */
  type(gate: Resolved<G>, inputs: readonly WireType[], tensor: (name: string) => TensorSpec, dims: Dims): WireType;
  cost(gate: Resolved<G>, inputs: readonly WireType[], dims: Dims, tensor: (name: string) => TensorSpec): Cost;
  /** Largest |output − exact functionality| in units of the last place of the output wire. */
  error(gate: Resolved<G>): number;
  deal(gate: Resolved<G>, inputs: readonly DealerValue[], context: DealerContext): DealerValue;
  /** The part of `party` that can be done ahead; the inputs are what the gates of its input wires made ahead. */
  ahead?(gate: Resolved<G>, inputs: readonly (Ahead | undefined)[], context: PartyContext): Ahead;
  /**
   * Does the work of `ahead` itself unless it is given. What was made ahead and is not in the value is recycled when the gate is finished
   * and its readers have worked ahead.
   */
  party(
    gate: Resolved<G>,
    inputs: readonly PartyValue[],
    context: PartyContext,
    ahead?: Ahead,
  ): Generator<Opening, PartyValue, Words>;
  clear(gate: Resolved<G>, inputs: readonly ClearValue[], context: ClearContext): ClearValue;
}
