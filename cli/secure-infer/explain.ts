/** What a run costs before it is made: the declarations of a program's gates, by layer and by kind of gate, and the time on a network. */
import { programCost, type GateCost } from '../../protocol/cost.ts';
import type { Gate, Program } from '../../protocol/program.ts';
import { rowCount, type Dims } from '../../protocol/shape.ts';
import { slots } from '../../ring/index.ts';

/** A network between any two roles, and what a core computes. */
export interface Network {
  /** Round trip, seconds. Both parties send at once, so a round takes half of it. */
  readonly rtt: number;
  /** Bits per second each way. */
  readonly bandwidth: number;
}

/**
 * Work of one core with AVX-512 kernels: ring multiply-adds, and bytes opened or dealt with all that goes with them (key stream,
 * packing, TLS, elementwise gates). Fitted to measured sessions of MiniLM and BERT-base, see `bench secure`.
 */
export const CORE = { multiplyAdds: 30e9, bytes: 0.25e9 };

/** Rounds of a layer: those it adds to the longest path; of a kind or gate: those in which it opens something. All else is a sum. */
export interface Part {
  readonly name: string;
  readonly gates: number;
  readonly rounds: number;
  readonly sentBytes: number;
  readonly dealtBytes: number;
  readonly clientBytes: number;
  readonly multiplyAdds: number;
  /** F and V of the part's tensors in a party's memory, and its static shares. */
  readonly weightBytes: number;
  /** Words of the part's wires in a party's memory, if none were freed: an upper bound of what it adds while it runs. */
  readonly wireBytes: number;
}

export interface Explained {
  readonly suite: string;
  readonly lengths: readonly number[];
  readonly rounds: number;
  /** Opened by each party to the other; headers and padding (about 0.02 %) come on top. */
  readonly sentBytesPerParty: number;
  /** By the assistant to party 1; party 0 has a seed. */
  readonly dealtBytes: number;
  /** By the client to each party. */
  readonly clientBytes: number;
  readonly ringMultiplyAdds: { readonly party0: number; readonly party1: number; readonly assistant: number };
  readonly weightBytes: number;
  readonly layers: readonly Part[];
  readonly kinds: readonly Part[];
  readonly gates: readonly Part[];
  readonly hiding?: Hiding;
}

/** What hidden lengths add; guards of token rows (twice the tables) and inverses times μ apart. */
export interface Hiding {
  /** The client's bits, and μ as an operand. */
  readonly padding: Part;
  /** What depends on the number of real tokens, from its look-ups to the keys: scaled by it, and less their mean. */
  readonly keys?: Part;
  readonly scaled: boolean;
  readonly centred: boolean;
}

/** Which part of hiding lengths a gate is, by its name; undefined for what public lengths have too. */
function hidingPart(name: string): 'padding' | 'keys' | undefined {
  if (['mu', 'mu.bits', 'mu.share'].includes(name)) return 'padding';
  return name.startsWith('mu.') || /^\d+\.(o_K|o_Ksum|KF|Ksum|Kmean)(t|\.guard)?$/.test(name) ? 'keys' : undefined;
}

/** The layer a gate belongs to, by its name. */
function layerOf(name: string): string {
  const [, layer] = /^(\d+)\./.exec(name) ?? [];
  if (layer !== undefined) return `layer ${layer}`;
  return name.startsWith('emb') || name.startsWith('mu') ? 'embedding' : 'classifier';
}

const bytes = (bits: number): number => Math.ceil(bits / 8);

/** @throws PlanError where the program does not hold for these lengths */
export function explainProgram(program: Program, dims: Dims): Explained {
  const { gates, total } = programCost(program, dims);
  const parts = gates.map((cost, i) => ({ cost, gate: program.gates[i]! }));
  const seen = new Set<string>();
  const each = parts.map(({ cost, gate }) => ({ cost, gate, weights: weightBytes(program, gate, seen) }));
  const depth = (wires: readonly number[]): number => Math.max(0, ...wires.map((wire) => gates[wire]!.depth));
  const part = (name: string, own: typeof each, rounds: number): Part => {
    const sum = (of: (cost: GateCost['cost']) => number): number => own.reduce((s, { cost }) => s + of(cost.cost), 0);
    return {
      name,
      gates: own.length,
      rounds,
      sentBytes: bytes(sum((c) => c.openedBits)),
      dealtBytes: bytes(sum((c) => c.dealtBits)),
      clientBytes: bytes(sum((c) => c.clientBits)),
      multiplyAdds: sum((c) => c.multiplyAdds.party0),
      weightBytes: own.reduce((s, { weights }) => s + weights, 0),
      wireBytes: own.reduce((s, { gate, cost }) => s + wireBytes(gate, cost.n, dims), 0),
    };
  };
  const split = (key: (gate: Gate) => string | undefined): Map<string, typeof each> => {
    const groups = new Map<string, typeof each>();
    for (const one of each) {
      const name = key(one.gate);
      if (name !== undefined) groups.set(name, [...(groups.get(name) ?? []), one]);
    }
    return groups;
  };
  const group = (key: (gate: Gate) => string, rounds: (own: typeof each) => number): Part[] =>
    [...split(key)].map(([name, own]) => part(name, own, rounds(own)));
  const opened = (own: typeof each): number => new Set(own.filter(({ cost }) => cost.cost.rounds > 0).map(({ cost }) => cost.depth)).size; // prettier-ignore
  // Guards run beside: the way through a part is from what it reads to what others read of it.
  const added = (own: typeof each): number => {
    const inside = new Set(own.map(({ gate }) => gate));
    const outside = program.gates.filter((gate) => !inside.has(gate));
    const wires = (readers: readonly Gate[], within: boolean): number[] =>
      readers.flatMap((gate) => gate.in).filter((wire) => inside.has(program.gates[wire]!) === within);
    const left = wires(outside, true);
    if (inside.has(program.gates[program.output]!)) left.push(program.output);
    return depth(left) - depth(wires([...inside], false));
  };
  const hidden = split((gate) => hidingPart(gate.name));
  const [padding, keys] = [hidden.get('padding'), hidden.get('keys')];
  // the layers' own parts follow each other; the look-ups are there before the first of them asks
  const inLayers = split(({ name }) =>
    hidingPart(name) === 'keys' && !name.startsWith('mu.') ? layerOf(name) : undefined,
  );
  const rounds = [...inLayers.values()].reduce((s, own) => s + added(own), 0);
  const has = (name: string): boolean => program.gates.some((gate) => gate.name === name);
  const hiding: Hiding | undefined = padding && {
    padding: part('padding factor', padding, 0),
    ...(keys && { keys: part('keys by the hidden length', keys, rounds) }),
    scaled: has('mu.F'),
    centred: has('mu.w'),
  };
  return {
    suite: program.suite,
    lengths: dims.lengths,
    rounds: total.rounds,
    sentBytesPerParty: bytes(total.openedBits),
    dealtBytes: bytes(total.dealtBits),
    clientBytes: bytes(total.clientBits),
    ringMultiplyAdds: total.multiplyAdds,
    weightBytes: each.reduce((s, { weights }) => s + weights, 0),
    layers: group((gate) => layerOf(gate.name), added),
    kinds: group((gate) => gate.op, opened),
    gates: group((gate) => gate.name, opened),
    ...(hiding && { hiding }),
  };
}

/** Bytes of the tensors a gate is the first to use: F and V of a masked one, the share of a shared one. */
function weightBytes(program: Program, gate: Gate, seen: Set<string>): number {
  if (!('tensor' in gate) || seen.has(gate.tensor)) return 0;
  seen.add(gate.tensor);
  const { role, n, rows, cols } = program.tensors[gate.tensor]!;
  return (role === 'masked' ? 2 : 1) * 4 * slots(n) * rows * cols;
}

function wireBytes({ shape }: Gate, n: number, dims: Dims): number {
  const rows = rowCount(shape.rows, dims);
  const words =
    shape.cols === 'keys'
      ? dims.lengths.reduce((s, L) => s + L * (shape.rows === 'head' ? dims.heads * L : shape.rows === 'token' ? L : 1), 0)
      : rows * shape.cols; // prettier-ignore
  return 4 * slots(n) * words;
}

export interface Times {
  /** Dealing included: every role on a machine of its own, one core each. */
  readonly seconds: number;
  /** Dealt words and A_i·F there beforehand. */
  readonly onlineSeconds: number;
}

/** What costs time, of a whole session or a part of it. */
type Work = Pick<Part, 'rounds' | 'sentBytes' | 'dealtBytes' | 'clientBytes' | 'multiplyAdds'>;

/** A simple sum: what overlaps is not credited, what loses packets is not charged. So the layers' times add up to the session's. */
export function expectedTimes(work: Work, { rtt, bandwidth }: Network): Times {
  const wait = (work.rounds * rtt) / 2;
  const send = (amount: number): number => (8 * amount) / bandwidth;
  const moved = work.sentBytes + work.dealtBytes;
  const products = work.multiplyAdds / CORE.multiplyAdds;
  const other = moved / CORE.bytes;
  return {
    seconds: wait + send(moved + work.clientBytes) + products + other,
    onlineSeconds: wait + send(work.sentBytes + work.clientBytes) + products / 2 + other,
  };
}

/** Of a session. */
export const expectedSeconds = (e: Explained, network: Network): Times =>
  expectedTimes({ ...e, sentBytes: e.sentBytesPerParty, multiplyAdds: e.ringMultiplyAdds.party0 }, network);
