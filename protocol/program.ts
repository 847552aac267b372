/**
 * The program: a flat list of typed gates in SSA form, symbolic in batch and length. Wire i is the output of gate i.
 * It is data with a version; the parties execute it, the assistant deals for it, the cost model adds it up, the clear
 * interpreter is its oracle and `explain` prints it.
 */
import type { Shape } from './shape.ts';

export const PROGRAM_VERSION = 1;

/** A ring that may grow with the length of the text: row-centring needs `keys` or `queries` more bits (see `centre`). */
export type Ring = number | { readonly base: number; readonly plus: 'keys' | 'queries' };

interface GateBase {
  /** Unique; the names of the specification's wires where it has one (`0.Wq`, `0.Wq+`, `0.E_n`, …). */
  readonly name: string;
  /** Input wires, all < this gate's index. */
  readonly in: readonly number[];
  /** Ring of the output wire (for `open` the ring of E, for `ext` the ring of the opening). */
  readonly n: Ring;
  /** Fraction bits: a real x stands as round(x·2^f). `bias`, `add`, … keep it; informative for wires in period units. */
  readonly f: number;
  readonly shape: Shape;
  /** Calibrated bound on |value| in units of the wire (absent: only right modulo its ring). */
  readonly bound?: number;
}

/** Private two-level embedding of the client's tokens; opens M in ring n. Output (token, H). */
export interface EmbeddingGate extends GateBase {
  readonly op: 'embedding';
  /** Masked tensor (V1 + 1) × (V2·H); the last row is the token-type difference. */
  readonly tensor: string;
  readonly vocab: number;
  readonly split: number;
}
/** A public factor F ≈ √(longest / L) of a text of L tokens, `bits` bits behind its first (see `lengthScale`). */
export interface LengthFactor {
  readonly longest: number;
  readonly bits: number;
  /** The scores it scales are row-centred. */
  readonly centred: boolean;
}
/** x + static share. */
export interface BiasGate extends GateBase {
  readonly op: 'bias';
  readonly tensor: string;
  /** The share is multiplied by F first; `head` only. */
  readonly factor?: LengthFactor;
  /** cols: one value per column; position: row i of a text gets row i of the tensor; head: one value per head. */
  readonly along: 'cols' | 'position' | 'head';
}
/** Opens E = x − A: an operand that may serve many products in rings ≤ n. */
export interface OpenGate extends GateBase {
  readonly op: 'open';
}
/** Opens c = v + 2^(n−2) + r: a value from which low-degree polynomials follow in rings ≤ `lift`. */
export interface ExtGate extends GateBase {
  readonly op: 'ext';
  readonly lift: number;
}
/** v² (or Σ over the columns of v², one word per row) of an ext wire. */
export interface SquareGate extends GateBase {
  readonly op: 'square';
  readonly rowSum: boolean;
}
/** v·w of an ext wire (first) and an operand (second); `row`: w has one word per row. */
export interface ProductGate extends GateBase {
  readonly op: 'product';
  readonly broadcast: 'none' | 'row';
}
/** x·W (or x∘w per column) of an operand with a masked tensor. */
export interface LinearGate extends GateBase {
  readonly op: 'linear';
  readonly tensor: string;
  readonly elementwise: boolean;
}
/** Product of two operands. scores: Q·Kᵀ per head, (token, H)² → (head, keys). context: P·V, (head, keys)·(token, H) → (head, D). Rows text and headText for the first token's queries. */
export interface MatmulGate extends GateBase {
  readonly op: 'matmul';
  readonly form: 'scores' | 'context';
}
/** a0 + Σ a_k cos(2πkx/2^b) + b_k sin(2πkx/2^b); output ring n = n_out + t, scale f = g1 + g2, not yet truncated. */
export interface FourierGate extends GateBase {
  readonly op: 'fourier';
  readonly table: FourierTable;
  /** Columns [from, to) of the input; absent: all. */
  readonly columns?: readonly [number, number];
}
/** The client's padding factor μ as masked bits; n = 1, (token, 1). */
export interface PaddingGate extends GateBase {
  readonly op: 'padding';
}
/** μ as additive shares in ring n. */
export interface PaddingShareGate extends GateBase {
  readonly op: 'paddingShare';
}
/** (head, keys) + (token, heads)ᵀ. */
export interface AddKeysGate extends GateBase {
  readonly op: 'addKeys';
}
/** Sums over the tokens of a text: (token, C) → (text, C). */
export interface SumTokensGate extends GateBase {
  readonly op: 'sumTokens';
}
/** table[x mod 2^b], a public table of 2^b entries; they stand at the scale of the output. */
export interface LookupGate extends GateBase {
  readonly op: 'lookup';
  readonly table: readonly number[];
}
/** v_h·w_j of an ext wire (text, C) and an operand (token, 1), the row of a text with every token of it: (token, C). */
export interface OuterGate extends GateBase {
  readonly op: 'outer';
}
/** `fourier` of its first input times an opened factor. */
export interface PaddedFourierGate extends GateBase {
  readonly op: 'paddedFourier';
  readonly table: FourierTable;
}
/** Opens c = x + r mod 2^n: a value known modulo 2^n, for Fourier gates of period 2^b, b ≤ n, and guards. */
export interface PhaseGate extends GateBase {
  readonly op: 'phase';
}
/** An ext wire as shares of the same integer in a larger ring n ≤ lift. */
export interface LiftGate extends GateBase {
  readonly op: 'lift';
}
/** One level of a guard: the opening modulo 2^n in cells of 2^(n − m); cells 1..free from `offset` on are not flagged. */
export interface GuardLevel {
  readonly n: number;
  /** Where cell 0 begins, in units of the opening. */
  readonly offset: number;
  readonly free: number;
}
/**
 * Flags, in XOR shares, the elements of an ext or phase wire that left an interval; n = 1, levels from wide to narrow. With a
 * padding wire as second input the flags of padding rows are 0.
 */
export interface GuardGate extends GateBase {
  readonly op: 'guard';
  /** 2^m cells a level. */
  readonly m: number;
  readonly levels: readonly GuardLevel[];
  /** Columns [from, to) of the input; absent: all. */
  readonly columns?: readonly [number, number];
}
/** Local truncate-reduce by `by` bits: ring n = input ring − by. */
export interface TruncateGate extends GateBase {
  readonly op: 'truncate';
  readonly by: number;
}
/** Row-centred keys or queries: the local map of `centre.py` followed by its truncation by `by` + k (or e) bits, then mod 2^n. */
export interface CentreGate extends GateBase {
  readonly op: 'centre';
  readonly side: 'keys' | 'queries';
  readonly by: number;
}
/** Queries times F, truncated by `by`. */
export interface LengthScaleGate extends GateBase {
  readonly op: 'lengthScale';
  readonly by: number;
  readonly factor: LengthFactor;
}
/** x·by with a small public integer. */
export interface ScaleGate extends GateBase {
  readonly op: 'scale';
  readonly by: number;
}
/** Row sums: (rows, cols) → (rows, 1). */
export interface SumGate extends GateBase {
  readonly op: 'sum';
}
/** x + y or x − y modulo the smaller ring. */
export interface AddGate extends GateBase {
  readonly op: 'add';
  readonly sign: 1 | -1;
}
/** Joins wires along the columns: shares, or operands. */
export interface ConcatGate extends GateBase {
  readonly op: 'concat';
}
/** (head, D) → (token, H), or (headText, D) → (text, H). */
export interface MergeHeadsGate extends GateBase {
  readonly op: 'mergeHeads';
}
/** Row 0 of every text: (token, H) → (text, H), shares or an operand. */
export interface FirstTokenGate extends GateBase {
  readonly op: 'firstToken';
}

export type Gate =
  | EmbeddingGate | BiasGate | OpenGate | ExtGate | SquareGate | ProductGate | LinearGate | MatmulGate | FourierGate
  | TruncateGate | CentreGate | ScaleGate | SumGate | AddGate | ConcatGate | MergeHeadsGate | FirstTokenGate
  | PaddingGate | PaddingShareGate | AddKeysGate | PaddedFourierGate | PhaseGate | LiftGate | GuardGate | LengthScaleGate
  | SumTokensGate | LookupGate | OuterGate; // prettier-ignore

/** A gate whose ring has been resolved for the session's lengths, with the shapes of its input wires. */
export type Resolved<G extends Gate = Gate> = G extends Gate
  ? Omit<G, 'n'> & { readonly n: number; readonly inShapes: readonly Shape[] }
  : never;

/** Integer coefficients of a Fourier gate; 64-bit integers as decimal strings. */
export interface FourierTable {
  /** Period 2^b. */
  readonly b: number;
  /** Scale 2^(g1+g2). */
  readonly a0: string;
  /** Scale 2^g2, harmonics 1..K. */
  readonly a: readonly string[];
  readonly bk: readonly string[];
  /** Fraction bits of the dealt cos and sin. */
  readonly g1: number;
  readonly g2: number;
  readonly fOut: number;
  /** SHA-256 of the integers, compared before the first gate. */
  readonly digest: string;
}

/** cos and sin at 2^28 of period 2^b, split as phase = hi·2^l + lo. Shipped, never computed at run time. */
export interface TrigTable {
  readonly l: number;
  readonly hiCos: readonly number[];
  readonly hiSin: readonly number[];
  readonly loCos: readonly number[];
  readonly loSin: readonly number[];
}

/** Static data of one model version. masked: F = W − B, W an integer matrix; share: an additive share of an integer matrix. */
export interface TensorSpec {
  readonly role: 'masked' | 'share';
  /** Largest ring in which the tensor is used. */
  readonly n: number;
  readonly rows: number;
  readonly cols: number;
}

export interface Program {
  readonly version: typeof PROGRAM_VERSION;
  readonly suite: string;
  /** public: each text runs at its own length, every row is valid. secret: at a bucket's; the client's μ tells real rows. */
  readonly length: 'public' | 'secret';
  readonly shortest: number;
  readonly longest: number;
  /** Secret lengths: the numbers of tokens that texts are padded to, ascending up to `longest`. */
  readonly buckets?: readonly number[];
  readonly heads: number;
  readonly hidden: number;
  readonly vocab: number;
  readonly labels: number;
  readonly gates: readonly Gate[];
  /** By tensor name. */
  readonly tensors: Readonly<Record<string, TensorSpec>>;
  /** By b. */
  readonly trig: Readonly<Record<string, TrigTable>>;
  /** The wire whose shares the client gets: logits, (text, labels). */
  readonly output: number;
  /** The flag wires, all of them: the answer is disclosed only where none is set. Absent: the answer is disclosed always. */
  readonly guard?: readonly number[];
}
