/**
 * Runs a whole program of the specification with both parties, assistant and client in one process, every random word taken
 * by name from the case. A word that the case does not list, or lists with another width or shape, fails; so does one left.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Matrix } from '../../export/lower.ts';
import type { Folded, IntegerTensor, Plan } from '../../export/plan.ts';
import { dealtShare, KINDS, type ClientName, type DealerContext, type DealerValue, type Kind, type PartyContext, type PartyValue } from '../../protocol/gate.ts'; // prettier-ignore
import { clientEmbedding, tableRows } from '../../protocol/gates/embedding.ts';
import type { EmbeddingGate, Program, Resolved } from '../../protocol/program.ts';
import { resolve, tensorsOf, trigOf } from '../../protocol/resolve.ts';
import { definitionOf } from '../../protocol/suite/masked.ts';
import { clientPadding } from '../../protocol/gates/padding.ts';
import { filled, seeded } from './gate-harness.ts';
import {
  add,
  concatWords,
  fromBigInts,
  fromNumbers,
  resize,
  sub,
  view,
  xor,
  zeros,
  type Words,
} from '../../ring/index.ts';
import { execute, type Execution, type Opened } from '../../runtime/execute.ts';
import { vectorFiles, VECTORS, type Encoded } from './spec-vectors.ts';

export interface SpecProgramCase {
  readonly ids: number[];
  readonly types: number[];
  readonly mask: readonly number[];
  readonly rounds: number;
  readonly bits: { readonly opened_per_party: number; readonly dealt: number; readonly client: number };
  readonly random: Readonly<Record<string, Encoded & { readonly bits: number }>>;
  readonly client_messages: readonly (Encoded & {
    readonly name: string;
    readonly to: string;
    readonly bits: number;
  })[];
  readonly dealt: readonly { readonly name: string; readonly bits: number; readonly party1: Encoded }[];
  readonly opened: readonly {
    readonly round: number;
    readonly name: string;
    readonly bits: number;
    readonly sent: readonly [Encoded, Encoded];
    readonly value: Encoded;
  }[];
  readonly tape: readonly (Encoded & { readonly kind: 'u' | 'r'; readonly name: string })[];
  readonly wires: readonly {
    readonly name: string;
    readonly bits: number;
    readonly scale: number;
    readonly shares: readonly [Encoded, Encoded];
    readonly value: Encoded;
  }[];
  readonly logits_fixed: Encoded & { readonly scale: number; readonly bits: number };
  readonly logits_float64: readonly number[];
}

/** One of `negative_plans.json`. */
export interface NegativePlan {
  readonly layer: number | null;
  readonly field: string;
  readonly value: unknown;
  readonly message: string;
}

/** Integer or float tensors of a safetensors file, by the format's own description (read without the code under test). */
export function specTensors(bytes: Uint8Array): Map<string, IntegerTensor> {
  const data64 = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = Number(data64.getBigUint64(0, true));
  const entries = JSON.parse(Buffer.from(bytes.subarray(8, 8 + header)).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const out = new Map<string, IntegerTensor>();
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to],
    },
  ] of Object.entries(entries)) {
    if (name === '__metadata__') continue;
    const data = new Float64Array((to - from) / 8);
    for (let i = 0; i < data.length; i++) {
      const at = 8 + header + from + 8 * i;
      if (dtype === 'I64') data[i] = Number(data64.getBigInt64(at, true));
      else if (dtype === 'F64') data[i] = data64.getFloat64(at, true);
      else throw new Error(`${name} is ${dtype}`);
    }
    out.set(name, { shape, data });
  }
  return out;
}

/** Case files may be gzipped (the committed copies are). */
const bytesOf = (file: string): Uint8Array =>
  existsSync(file) ? readFileSync(file) : gunzipSync(readFileSync(`${file}.gz`));

export const readTensors = (file: string): Map<string, IntegerTensor> => specTensors(bytesOf(file));
export const specFolded = (file: string): Folded => readTensors(file);
export const readJson = <T>(file: string): T => JSON.parse(Buffer.from(bytesOf(file)).toString('utf8')) as T;

/** Program folders by their plan: what runs here is unguarded, as our guards are newer. Anything unknown fails. */
export function programFolders(): { name: string; dir: string; plan: Plan; runs: boolean }[] {
  return vectorFiles()
    .filter((name) => name.startsWith('program_'))
    .map((name) => {
      const dir = join(VECTORS, name);
      const plan = readJson<Plan>(join(dir, 'plan.json'));
      const { length, guard } = plan as { length: string; guard: unknown };
      if (!['public', 'secret'].includes(length) || typeof guard !== 'boolean')
        throw new Error(`${dir}: unknown kind of program`);
      return { name, dir, plan, runs: !guard };
    });
}

const NOT_CASES = new Set(['config.json', 'plan.json', 'calibration.json', 'negative_plans.json']);

/** Names of the case files of a program folder, without `.gz`. */
export const programCases = (dir: string): string[] =>
  readdirSync(dir)
    .map((f) => f.replace(/\.gz$/, ''))
    .filter((f) => f.endsWith('.json') && !NOT_CASES.has(f))
    .toSorted();

/** A plan with one field replaced. */
export function edited(plan: Plan, { layer, field, value }: NegativePlan): Plan {
  if (layer === null) return { ...plan, [field]: value };
  return { ...plan, layers: plan.layers.map((q, l) => (l === layer ? { ...q, [field]: value } : q)) };
}

export interface SpecRun {
  readonly parties: readonly [Execution, Execution];
  readonly opened: readonly Opened[];
  /** Share wires by gate: both parties' words. */
  readonly wires: ReadonlyMap<string, { readonly gate: Resolved; readonly shares: [Words, Words] }>;
  readonly dealt: ReadonlyMap<string, Words>;
  readonly dealtBits: number;
  readonly client: { readonly E1: Words; readonly E2: Words };
  readonly rounding: ReadonlyMap<string, Words>;
  readonly fourierMasks: ReadonlyMap<string, Words>;
  /** Names of random words nobody asked for. */
  readonly unused: readonly string[];
}

export async function runSpecProgram(
  program: Program,
  tensors: ReadonlyMap<string, Matrix>,
  test: SpecProgramCase,
): Promise<SpecRun> {
  const dims = { lengths: [test.ids.length], heads: program.heads };
  const gates = resolve(program, dims);
  const used = new Set<string>();
  // the specification's client sends μ itself as an operand; ours sends bits, under masks of its own
  const bits = new Map<string, Words>();
  const ours = (name: string, n: number, length: number): Words => {
    const words = bits.get(name) ?? seeded(bits.size + 1)(name, n, length);
    bits.set(name, words);
    return words;
  };
  const random = (name: string, n: number, length: number): Words => {
    if (/^mu\.(bits|share)\./.test(name)) return ours(name, n, length);
    const entry = test.random[name];
    if (entry === undefined) throw new Error(`${name}: not a word of the specification`);
    if (entry.bits !== n || entry.v.length !== length)
      throw new Error(`${name}: asked for ${length} words of ${n} bits, listed ${entry.v.length} of ${entry.bits}`);
    used.add(name);
    return fromBigInts(entry.v.map(BigInt), n);
  };
  const tensor = tensorsOf(program);
  const trig = trigOf(program);
  const B = (name: string, i: number, n: number): Words => {
    const { rows, cols } = tensor(name);
    return random(`static/${name}.B.${i}`, n, rows * cols);
  };
  const plain = (name: string, n: number): Words => fromNumbers(tensors.get(name)!.data, n);

  const fourierMasks = new Map<string, Words>();
  const dealt = new Map<string, Words>();
  let dealtBits = 0;
  const dealer: DealerContext = {
    dims,
    mask: (gate, kind, party, n, length) => random(`${gate.name}.${kind}.${party}`, n, length),
    deal(gate, kind, value) {
      const name = `${gate.name}.${kind}`;
      if (dealt.has(name)) throw new Error(`${name} is dealt twice`);
      dealt.set(name, dealtShare(kind, value, random(`${name}.pad`, value.n, value.length)));
      dealtBits += value.n * value.length;
    },
    dealInStretches(gate, kind, n, length, step, fill) {
      dealer.deal(gate, kind, filled(n, length, step, fill));
    },
    maskedWeight: (name, n) => add(B(name, 0, n), B(name, 1, n)),
    tensor,
    trig,
  };
  const dealerValues: DealerValue[] = [];
  for (const gate of gates) {
    dealerValues.push(definitionOf(gate).deal(gate, gate.in.map((wire) => dealerValues[wire]!), dealer)); // prettier-ignore
    if (gate.op === 'fourier' || gate.op === 'paddedFourier') {
      const { v } = test.random[`${gate.name}.r.0`]!;
      const r = ([0, 1] as const).map((i) => random(`${gate.name}.r.${i}`, gate.table.b, v.length));
      fourierMasks.set(gate.name, add(r[0]!, r[1]!));
    }
  }

  const embedding = gates.find((gate): gate is Resolved<EmbeddingGate> => gate.op === 'embedding')!;
  const A = (kind: 'A1' | 'A2', cols: number): Words => {
    const length = test.ids.length * cols;
    return add(random(`emb.${kind}.0`, embedding.n, length), random(`emb.${kind}.1`, embedding.n, length));
  };
  const client = clientEmbedding(
    embedding,
    test.ids,
    test.types,
    A('A1', tableRows(embedding)),
    A('A2', embedding.split),
  );

  const hidden = gates.some(({ op }) => op === 'padding');
  const a = (i: 0 | 1): Words => ours(`mu.bits.beta.${i}`, 1, test.ids.length);
  const messages: Partial<Record<ClientName, Words>> = {
    ...client,
    ...(hidden && { beta: clientPadding([test.mask], xor(a(0), a(1))) }),
  };

  const opened: Opened[] = [];
  const rounding = new Map<string, Words>();
  const wires = new Map<string, { gate: Resolved; shares: [Words, Words] }>();
  const drawn = new Set<string>();
  const received = (party: 0 | 1, gate: Resolved, kind: Kind, n: number, length: number): Words => {
    if (!(kind in KINDS)) throw new Error(`unknown kind ${kind}`);
    const name = `${gate.name}.${kind}`;
    const words = party === 0 ? random(`${name}.pad`, n, length) : dealt.get(name)!;
    if (words.n !== n || words.length !== length) throw new Error(`${name}: not what was dealt`);
    return words;
  };
  const context = (party: 0 | 1): PartyContext => ({
    party,
    dims,
    mask(gate, kind, n, length) {
      const name = `${gate.name}.${kind}.${party}`;
      if (drawn.has(name)) throw new Error(`${name} is drawn twice`);
      drawn.add(name);
      return random(name, n, length);
    },
    dealt: (gate, kind, n, length) => received(party, gate, kind, n, length),
    dealtInStretches(gate, kind, n, length) {
      const words = received(party, gate, kind, n, length);
      return (out, from) => void out.data.set(view(words, from, from + out.length).data);
    },
    weight(name, n) {
      const F = sub(sub(plain(name, n), B(name, 0, n)), B(name, 1, n));
      return { F, V: party === 0 ? add(F, B(name, 0, n)) : B(name, 1, n) };
    },
    share(name, n) {
      const base = name.slice(0, -1);
      const listed = test.random[`static/${base}.pad`];
      if (!name.endsWith('+') || listed === undefined) throw new Error(`no static share ${name}`);
      // the specification deals only the rows of the positions in use
      const value = plain(name, n);
      const pad = random(`static/${base}.pad`, n, listed.v.length);
      const share0 = concatWords([pad, zeros(n, value.length - pad.length)]);
      return party === 0 ? share0 : sub(value, share0);
    },
    client: (_, name, n, length) => {
      const words = messages[name]!;
      if (words.n !== n || words.length !== length) throw new Error(`client message ${name}`);
      return words;
    },
    tensor,
    trig,
    rounding: (gate, u) => void rounding.set(gate.name, u),
  });

  const mail: [Uint8Array?, Uint8Array?][] = [];
  const waiting = new Map<string, (message: Uint8Array) => void>();
  const exchange =
    (party: 0 | 1) =>
    (round: number, message: Uint8Array): Promise<Uint8Array> => {
      // A copy: both parties give back what they sent while the other may still read it.
      const copy = message.slice();
      (mail[round] ??= [])[party] = copy;
      waiting.get(`${1 - party} ${round}`)?.(copy);
      const theirs = mail[round][1 - party];
      if (theirs !== undefined) return Promise.resolve(theirs);
      return new Promise((done) => waiting.set(`${party} ${round}`, done));
    };
  const run = (party: 0 | 1): Promise<Execution> =>
    execute(program, context(party), exchange(party), {
      opened: (o) => {
        if (party === 0) opened.push(o);
      },
      wire: (gate, value: PartyValue) => {
        if (value.kind !== 'share') return;
        const entry = wires.get(gate.name) ?? { gate, shares: [value.x, value.x] as [Words, Words] };
        entry.shares[party] = resize(value.x, value.x.n);
        wires.set(gate.name, entry);
      },
    });
  const parties = await Promise.all([run(0), run(1)]);
  const unused = Object.keys(test.random).filter((name) => !used.has(name));
  return { parties, opened, wires, dealt, dealtBits, client, rounding, fourierMasks, unused };
}
