/**
 * Both parties, the assistant, the client and the clear interpreter over a short list of gates, in lockstep and in one process,
 * with every word that is drawn, dealt or sent in the open. All randomness comes from `random`, by the specification's names.
 */
import { definitionOf } from '../../protocol/suite/masked.ts';
import { dealtShare } from '../../protocol/gate.ts';
import { clientEmbedding } from '../../protocol/gates/embedding.ts';
import { clientPadding } from '../../protocol/gates/padding.ts';
import type {
  ClearContext, ClearValue, DealerContext, DealerValue, Kind, Opening, PartyContext, PartyValue, WireType,
} from '../../protocol/gate.ts'; // prettier-ignore
import type { Gate, Resolved, TensorSpec, TrigTable } from '../../protocol/program.ts';
import { gateType } from '../../protocol/resolve.ts';
import type { Dims, Shape } from '../../protocol/shape.ts';
import { RefusedError } from '../../common/errors.ts';
import { add, resize, sub, xor, zeros, view, type Words, slots } from '../../ring/index.ts';

/** `GATE.KIND.0` and `.1`: masks; `GATE.KIND.pad`: party 0's dealt words; `static/TENSOR.B.0`, `static/TENSOR.share.pad`. */
export type Random = (name: string, n: number, length: number) => Words;

/** A wire from outside: additive shares. */
export interface Input {
  readonly n: number;
  readonly f: number;
  readonly shape: Shape;
  readonly shares: readonly [Words, Words];
}

export interface Setup {
  readonly dims: Dims;
  readonly inputs: readonly Input[];
  /** With concrete rings; wire numbers count the inputs first, then the gates. */
  readonly gates: readonly Gate[];
  readonly random: Random;
  readonly tensors?: Readonly<Record<string, { readonly spec: TensorSpec; readonly W: Words }>>;
  readonly trig?: (b: number) => TrigTable;
  readonly ids?: readonly (readonly number[])[];
  readonly types?: readonly (readonly number[])[];
  /** Hidden lengths: 1 for every real token. */
  readonly valid?: readonly (readonly number[])[];
  /** Keeps a refusal of a clear half in its step, instead of throwing it. */
  readonly tolerant?: boolean;
  /** Told whose half runs next. */
  readonly watch?: (role: Role) => void;
}

export type Role = 0 | 1 | 'assistant' | 'client' | 'clear';

export interface Step {
  readonly gate: Resolved;
  readonly type: WireType;
  readonly party: readonly [PartyValue, PartyValue];
  readonly dealer: DealerValue;
  readonly clear: ClearValue;
  readonly refusal?: RefusedError;
  readonly sent: readonly (readonly [Words, Words])[];
  readonly opened: readonly Words[];
  readonly reasons: readonly string[];
  /** By kind: party 0's pad and party 1's correction. */
  readonly dealt: ReadonlyMap<Kind, readonly [Words, Words]>;
  readonly client: ReadonlyMap<string, Words>;
  /** The rounding words party 1 reported. */
  readonly rounding: Words | undefined;
  readonly counted: { rounds: number; openedBits: number; dealtBits: number; clientBits: number };
}

/** Uniform words of any ring from a 32-bit seed (xorshift: test data, not secrets). */
export function seeded(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>>= 0);
  };
  return (_, n, length) => {
    const data = Uint32Array.from({ length: length * slots(n) }, next);
    return resize({ n: 32 * slots(n), length, data }, n);
  };
}

/** Shares of x: party 0's from `random`. */
export const shareOf = (x: Words, random: Random): readonly [Words, Words] => {
  const pad = random('input.share0', x.n, x.length);
  return [pad, sub(x, pad)];
};

/** The value of a share wire. */
export function joined({ party: [a, b] }: Pick<Step, 'party'>): Words {
  if (a.kind !== 'share' || b.kind !== 'share') throw new Error('not a share wire');
  return add(a.x, b.x);
}

/** What `dealInStretches` deals, whole. */
export function filled(n: number, length: number, step: number, fill: (out: Words, from: number) => void): Words {
  const out = zeros(n, length);
  for (let from = 0; from < length; from += step) fill(view(out, from, Math.min(from + step, length)), from);
  return out;
}

export function runGates(setup: Setup): Step[] {
  const { dims } = setup;
  const watch = setup.watch ?? ((): void => undefined);
  const drawn = new Map<string, Words>();
  const draw: Random = (name, n, length) => {
    let words = drawn.get(name);
    if (words === undefined) drawn.set(name, (words = setup.random(name, n, length)));
    if (words.n !== n || words.length !== length)
      throw new Error(`${name} was drawn as ${words.length} words of ${words.n} bits`);
    return words;
  };
  const tensor = (name: string): TensorSpec => setup.tensors![name]!.spec;
  const trig = (b: number): TrigTable => setup.trig!(b);
  const B = (name: string, i: 0 | 1): Words => {
    const { n, rows, cols } = tensor(name);
    return draw(`static/${name}.B.${i}`, n, rows * cols);
  };
  const F = (name: string): Words => sub(sub(setup.tensors![name]!.W, B(name, 0)), B(name, 1));

  const types: WireType[] = setup.inputs.map(({ n, f, shape }) => ({ kind: 'share', n, f, shape }));
  const values: Pick<Step, 'party' | 'dealer' | 'clear'>[] = setup.inputs.map(({ shares: [a, b] }) => ({
    party: [{ kind: 'share', x: a }, { kind: 'share', x: b }],
    dealer: { kind: 'share' },
    clear: { x: add(a, b) },
  })); // prettier-ignore

  return setup.gates.map((declared) => {
    if (typeof declared.n !== 'number') throw new Error('give concrete rings');
    const gate = { ...declared, n: declared.n, inShapes: declared.in.map((wire) => types[wire]!.shape) } as Resolved;
    const definition = definitionOf(gate);
    const inputTypes = gate.in.map((wire) => types[wire]!);
    const type = gateType(gate, inputTypes, tensor, dims);

    const dealt = new Map<Kind, readonly [Words, Words]>();
    const client = new Map<string, Words>();
    const sent: (readonly [Words, Words])[] = [];
    const opened: Words[] = [];
    const reasons: string[] = [];
    const counted = { rounds: 0, openedBits: 0, dealtBits: 0, clientBits: 0 };
    let rounding: Words | undefined;
    const mask = (kind: Kind, party: 0 | 1, n: number, length: number): Words =>
      draw(`${gate.name}.${kind}.${party}`, n, length);

    const dealer: DealerContext = {
      dims,
      mask: (_, kind, party, n, length) => mask(kind, party, n, length),
      deal(_, kind, value) {
        if (dealt.has(kind)) throw new Error(`${gate.name}.${kind} is dealt twice`);
        const pad = draw(`${gate.name}.${kind}.pad`, value.n, value.length);
        dealt.set(kind, [pad, dealtShare(kind, value, pad)]);
        counted.dealtBits += value.n * value.length;
      },
      dealInStretches(of, kind, n, length, step, fill) {
        dealer.deal(of, kind, filled(n, length, step, fill));
      },
      maskedWeight: (name, n) => resize(add(B(name, 0), B(name, 1)), n),
      tensor,
      trig,
    };
    watch('assistant');
    const dealerValue = definition.deal(gate, gate.in.map((wire) => values[wire]!.dealer), dealer); // prettier-ignore

    watch('client');
    if (gate.op === 'embedding') {
      const rows = tensor(gate.tensor).rows;
      const tokens = dims.lengths.reduce((a, b) => a + b, 0);
      const A = (kind: 'A1' | 'A2', length: number): Words =>
        add(mask(kind, 0, gate.n, length), mask(kind, 1, gate.n, length));
      const message = clientEmbedding(
        gate, setup.ids!.flat(), setup.types!.flat(), A('A1', tokens * rows), A('A2', tokens * gate.split),
      ); // prettier-ignore
      for (const [name, words] of Object.entries(message)) {
        client.set(name, words);
        counted.clientBits += words.n * words.length;
      }
    }

    if (gate.op === 'padding') {
      const tokens = dims.lengths.reduce((a, b) => a + b, 0);
      const beta = clientPadding(setup.valid!, xor(mask('beta', 0, 1, tokens), mask('beta', 1, 1, tokens)));
      client.set('beta', beta);
      counted.clientBits += beta.length;
    }

    const half = (party: 0 | 1): Generator<Opening, PartyValue, Words> => {
      const context: PartyContext = {
        party,
        dims,
        mask: (_, kind, n, length) => mask(kind, party, n, length),
        dealt(_, kind, n, length) {
          const words = dealt.get(kind)?.[party];
          if (words?.n !== n || words.length !== length) throw new Error(`${gate.name}.${kind}: not what was dealt`);
          return words;
        },
        dealtInStretches(of, kind, n, length) {
          const words = context.dealt(of, kind, n, length);
          return (out, from) => void out.data.set(view(words, from, from + out.length).data);
        },
        weight: (name, n) => ({
          F: resize(F(name), n),
          V: resize(party === 0 ? add(F(name), B(name, 0)) : B(name, 1), n),
        }),
        share(name, n) {
          const { W } = setup.tensors![name]!;
          const pad = draw(`static/${name}.share.pad`, W.n, W.length);
          return resize(party === 0 ? pad : sub(W, pad), n);
        },
        client: (_, name) => client.get(name)!,
        tensor,
        trig,
        rounding: (_, u) => void (rounding = u),
      };
      return definition.party(gate, gate.in.map((wire) => values[wire]!.party[party]), context); // prettier-ignore
    };
    const halves = [half(0), half(1)] as const;
    const resume = (party: 0 | 1, value?: Words): IteratorResult<Opening, PartyValue> => {
      watch(party);
      return value === undefined ? halves[party].next() : halves[party].next(value);
    };
    let [a, b] = [resume(0), resume(1)];
    while (a.done !== true && b.done !== true) {
      const [x, y] = [a.value, b.value];
      if (x.x.n !== x.n || y.n !== x.n || x.reason !== y.reason)
        throw new Error(`${gate.name}: the parties open differently`);
      const value = add(x.x, y.x);
      sent.push([x.x, y.x]);
      opened.push(value);
      reasons.push(x.reason);
      counted.rounds += 1;
      counted.openedBits += x.n * x.x.length;
      [a, b] = [resume(0, value), resume(1, value)];
    }
    if (a.done !== true || b.done !== true) throw new Error(`${gate.name}: one party opens more than the other`);

    const clearContext: ClearContext = {
      dims,
      rounding: () => rounding!,
      fourierMask: (_, n, length) => add(mask('r', 0, n, length), mask('r', 1, n, length)),
      weight: (name, n) => resize(setup.tensors![name]!.W, n),
      ids: setup.ids ?? [],
      types: setup.types ?? [],
      ...(setup.valid && { valid: setup.valid }),
      tensor,
      trig,
    };
    watch('clear');
    let refusal: RefusedError | undefined;
    const clearValue = (): ClearValue => {
      try {
        return definition.clear(gate, gate.in.map((wire) => values[wire]!.clear), clearContext); // prettier-ignore
      } catch (error) {
        if (setup.tolerant !== true || !(error instanceof RefusedError)) throw error;
        refusal = error;
        return { x: zeros(1, 0) };
      }
    };
    const value = {
      party: [a.value, b.value] as const,
      dealer: dealerValue,
      clear: clearValue(),
    };
    types.push(type);
    values.push(value);
    return {
      gate,
      type,
      ...value,
      ...(refusal && { refusal }),
      sent,
      opened,
      reasons,
      dealt,
      client,
      rounding,
      counted,
    };
  });
}
