/** Preconditions shared by the type checks of the gates, and the narrowing of wire values to their kind. */
import type { Words } from '../ring/index.ts';
import { PlanError } from './errors.ts';
import type { Ahead, Cost, DealerValue, Opening, PartyContext, PartyValue, WireType } from './gate.ts';
import type { Gate, TensorSpec } from './program.ts';
import type { Dims, Shape } from './shape.ts';

type Named = Pick<Gate, 'name' | 'op'>;
type Typed = Named & { readonly n: number; readonly f: number; readonly shape: Shape };

/** Widest ring of `ring/`. */
export const MAX_RING = 128;

/** Refuses the program for this gate. @throws PlanError always */
export function refuse(gate: Named, problem: string, remedy: string): never {
  throw new PlanError(`gate ${gate.name} (${gate.op}): ${problem}`, remedy);
}

/** A precondition of a gate. @throws PlanError naming gate, problem and remedy unless it holds */
export function need(gate: Named, holds: boolean, problem: string, remedy: string): void {
  if (!holds) refuse(gate, problem, remedy);
}

/** The input wires, checked for their number and kinds. */
export function kinds<const K extends readonly WireType['kind'][]>(
  gate: Named,
  inputs: readonly WireType[],
  expected: K,
): { [I in keyof K]: WireType } {
  const got = inputs.map((wire) => wire.kind);
  need(
    gate,
    got.length === expected.length && got.every((kind, i) => kind === expected[i]),
    `inputs are [${got.join(', ')}], not [${expected.join(', ')}]`,
    'a nonlinear gate reads an ext wire, a product an opened operand, everything else shares: insert the opening',
  );
  return inputs as { [I in keyof K]: WireType };
}

/** `n ≤ have`: words can be reduced to a smaller ring locally, never lifted. */
export function ringFits(gate: Typed, have: number, what: string): void {
  need(
    gate,
    gate.n <= have,
    `ring ${gate.n} is above ring ${have} of ${what}`,
    `use ${what} in a ring of at least ${gate.n} bits, or lower the ring of ${gate.name}`,
  );
}

export const shapeText = ({ rows, cols }: Shape): string => `(${rows}, ${cols})`;

/** The shape must be the expected one. @throws PlanError otherwise */
export function shapeIs(gate: Named, what: string, shape: Shape, expected: Shape): void {
  need(
    gate,
    shape.rows === expected.rows && shape.cols === expected.cols,
    `${what} is ${shapeText(shape)}, not ${shapeText(expected)}`,
    'correct the shapes of the program',
  );
}

/** Wires in real units keep a common scale where values are added, and carry it through. */
export function scaleIs(gate: Typed, f: number): void {
  need(gate, gate.f === f, `output scale 2^${gate.f}, its inputs give 2^${f}`, 'truncate the inputs to one scale');
}

/** The number of columns, which must not depend on the text's length. @throws PlanError otherwise */
export function fixedCols(gate: Named, shape: Shape): number {
  if (shape.cols === 'keys')
    refuse(gate, 'needs a fixed number of columns, not keys', 'correct the shapes of the program');
  return shape.cols;
}

/** The tensor must have this role and be `rows` × `cols`. @throws PlanError otherwise */
export function tensorIs(
  gate: Named,
  name: string,
  spec: TensorSpec,
  role: TensorSpec['role'],
  rows: number,
  cols: number,
): void {
  need(gate, spec.role === role, `tensor ${name} is ${spec.role}, not ${role}`, 'correct the role of the tensor');
  need(
    gate,
    spec.rows === rows && spec.cols === cols,
    `tensor ${name} is ${spec.rows} × ${spec.cols}, not ${rows} × ${cols}`,
    'correct the shape of the tensor',
  );
}

/** Output type of a gate whose result is additive shares. */
export const shareWire = ({ n, f, shape }: Typed): WireType => ({ kind: 'share', n, f, shape });

/** Length of every text's block, for checks that depend on the session. */
export const longest = (dims: Dims): number => Math.max(...dims.lengths);

// A kind that does not fit at run time is a bug: the type check has passed.
function narrow<V extends { kind: string }, K extends V['kind']>(
  value: V | undefined,
  kind: K,
): Extract<V, { kind: K }> {
  if (value?.kind !== kind) throw new Error(`wire is ${value?.kind ?? 'absent'}, not ${kind}`);
  return value as Extract<V, { kind: K }>;
}
export const share = (value: PartyValue | undefined): Words => narrow(value, 'share').x;
export const operand = (value: PartyValue | undefined): Extract<PartyValue, { kind: 'operand' }> =>
  narrow(value, 'operand');
export const ext = (value: PartyValue | undefined): Extract<PartyValue, { kind: 'ext' }> => narrow(value, 'ext');
export const bits = (value: PartyValue | undefined): Words => narrow(value, 'bits').x;
export const dealtOperand = (value: DealerValue | undefined): Words => narrow(value, 'operand').A;
export const dealtExt = (value: DealerValue | undefined): Extract<DealerValue, { kind: 'ext' }> => narrow(value, 'ext');

export interface Spent {
  readonly rounds?: 0 | 1;
  readonly openedBits?: number;
  readonly dealtBits?: number;
  readonly clientBits?: number;
  /** Multiply-adds of each party and of the assistant. */
  readonly party?: number;
  readonly assistant?: number;
}

export const cost = ({
  rounds = 0,
  openedBits = 0,
  dealtBits = 0,
  clientBits = 0,
  party = 0,
  assistant = 0,
}: Spent): Cost => ({
  rounds,
  openedBits,
  dealtBits,
  clientBits,
  multiplyAdds: { party0: party, party1: party, assistant },
});

/** A gate that is local, additive and exact: no cost, no error, nothing dealt. */
export const LOCAL = {
  cost: (): Cost => cost({}),
  error: (): number => 0,
  deal: (): DealerValue => ({ kind: 'share' }),
} as const;

/** Party half of a gate that opens nothing. */
export const opensNothing = <R>(
  half: (gate: R, inputs: readonly PartyValue[], context: PartyContext, ahead?: Ahead) => PartyValue,
): ((
  gate: R,
  inputs: readonly PartyValue[],
  context: PartyContext,
  ahead?: Ahead,
) => Generator<Opening, PartyValue, Words>) =>
  // oxlint-disable-next-line require-yield
  function* (gate, inputs, context, ahead) {
    return half(gate, inputs, context, ahead);
  };
