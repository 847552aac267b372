/**
 * Scores of hidden lengths: keys scaled by the number of tokens and less their mean over it, which stays secret; and what a client can
 * make of it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, RefusedError } from '../../common/errors.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { boundsOf, type Bounds } from '../../export/bounds.ts';
import { calibrate } from '../../export/calibrate.ts';
import { fixedPredict, integersOf, interpret, seededTape } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
import { scaleTable, weightTable } from '../../export/lengths.ts';
import { lower, type Lowered } from '../../export/lower.ts';
import { makePlan } from '../../export/make-plan.ts';
import { checkPlan, type Plan } from '../../export/plan.ts';
import { BALANCED } from '../../export/plans.ts';
import { writeExport } from '../../export/provider.ts';
import { floatLogits } from '../../export/random-model.ts';
import type { Ranges } from '../../export/ranges.ts';
import { realModel } from '../../export/real-model.ts';
import { padText, type PaddedTokens } from '../../protocol/gates/padding.ts';
import { equal, toBigInts } from '../../ring/index.ts';
import { SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { runInMemory, splitModel, type MemoryModel } from '../../runtime/memory.ts';
import { converse, readBundles, type Bundles } from '../support/conversation.ts';
import { tinyTokenizer } from '../support/tiny-export.ts';
import { randomTexts } from '../support/random-texts.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const [SHORTEST, LONGEST] = [1, 13];
const BUCKETS = [8, LONGEST];

const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', type_vocab_size: 2 }); // prettier-ignore
const tensors = tinyTensors(config, 5);
const model = realModel(config, tensors);
const bounds = boundsOf(model);
const engine = createEngine({ threads: 1 });

const texts = (each: number, seed: number): Encoding[] =>
  randomTexts({ shortest: SHORTEST, longest: LONGEST, vocab: config.vocab_size }, each, seed);

const served = texts(2, 9);
let ranges: Ranges;
let plan: Plan;
let lowered: Lowered;

const planned = (own: Bounds, r: Ranges, hidden = true, perLength = true): Plan =>
  makePlan({ ...model, bounds: own }, r, { ...BALANCED, perLength, ...(hidden && { buckets: BUCKETS }) });
const made = (p: Plan): Lowered => lower(p, fold(model, p));
const split = ({ program, tensors: integers }: Lowered): MemoryModel =>
  splitModel(program, (name) => integersOf(program, integers)(name, program.tensors[name]!.n), 3);
const run = ({ program, tensors: integers }: Lowered, text: PaddedTokens, tape = seededTape(1, program)) =>
  interpret(program, integersOf(program, integers), [text], tape);

beforeAll(async () => {
  const encodings = [...texts(12, 4), ...served];
  ranges = await calibrate({ encodings, shortest: SHORTEST, longest: LONGEST }, { engine, config, tensors });
  plan = planned(bounds, ranges);
  lowered = made(plan);
});

describe('keys of a hidden length', () => {
  /** Integers of every wire of one text. */
  const wires = ({ program, tensors: integers }: Lowered, text: PaddedTokens): Map<string, number[]> => {
    const seen = new Map<string, number[]>();
    interpret(program, integersOf(program, integers), [text], seededTape(7, program), ({ name }, x) => {
      seen.set(name, toBigInts(x).map((v) => Number(BigInt.asIntN(x.n, v)))); // prettier-ignore
    });
    return seen;
  };

  it.each([
    ['scaled and', true],
    ['only', false],
  ])('are %s less their mean over the real tokens alone, to a few units; keys of padding are 0', (_, perLength) => {
    const p = planned(bounds, ranges, true, perLength);
    const own = made(p);
    const { H } = model;
    const unit = 2 ** (p.fx + p.fw - p.fk);
    for (const text of served) {
      const [n, L] = [text.ids.length, padText(text, BUCKETS).ids.length];
      const seen = wires(own, text);
      const real = (value: number): number[] => Array.from({ length: L }, (_v, j) => (j < n ? value : 0));
      // √(13 / n) to 3 fraction bits behind its first
      const F = perLength ? seen.get('mu.F')![0]! / 8 : 1;
      if (perLength) {
        expect(Math.abs(F / Math.sqrt(LONGEST / n) - 1)).toBeLessThanOrEqual(1 / 16);
        expect(seen.get('mu.F')).toEqual(real(8 * F));
      }
      expect(seen.get('mu.w')).toEqual(real(Math.round((2 ** p.keyMean!.f * F) / n)));
      for (const l of [0, 1]) {
        const [x, W, K] = [seen.get(`${l}.E_n`)!, own.tensors.get(`${l}.Wk`)!, seen.get(`${l}.K`)!];
        const key = (j: number, h: number): number => {
          let sum = 0;
          for (let i = 0; i < H; i++) sum += x[j * H + i]! * W.data[i * H + h]!;
          return sum / unit;
        };
        // below one unit each: the cut of the key and of the sum, times F and F / n; the two products' cuts; half a unit: the weight
        const off = F + F / n + 1 + (perLength ? 1 : 0) + 0.5;
        for (let h = 0; h < H; h++) {
          const column = Array.from({ length: L }, (_v, j) => key(j, h));
          const mean = column.slice(0, n).reduce((a, b) => a + b, 0) / n;
          for (let j = 0; j < n; j++) expect(Math.abs(K[j * H + h]! - F * (column[j]! - mean))).toBeLessThan(off);
          for (let j = n; j < L; j++) expect(K[j * H + h]).toBe(0);
        }
      }
    }
  });

  it.each([true, false])('answer as public lengths do but for rounding (scaled: %s)', (perLength) => {
    const [hidden, open] = [true, false].map((hide) => made(planned(bounds, ranges, hide, perLength)));
    const logits = [hidden!, open!].map(({ program, tensors: integers }) =>
      fixedPredict(program, integersOf(program, integers), served),
    );
    served.forEach((_, i) => {
      const [a, b] = logits.map((answers) => answers[i]!);
      if (a instanceof Error || b instanceof Error) throw new Error(`text ${i} is refused`);
      a!.forEach((v, j) => expect(Math.abs(v - b![j]!), `text ${i}`).toBeLessThan(2 * LOGITS));
    });
  });

  it('answer without guards too, in rings of what was seen', async () => {
    const own = made(makePlan(model, ranges, { ...BALANCED, guard: false, buckets: BUCKETS }));
    expect(own.program.guard).toBeUndefined();
    const texts3 = [0, 9, 25].map((i) => served[i]!);
    const logits = fixedPredict(own.program, integersOf(own.program, own.tensors), texts3);
    for (const [i, text] of texts3.entries()) {
      const [float] = await floatLogits(engine, config, tensors, [text]);
      if (logits[i] instanceof Error) throw logits[i];
      (logits[i] as Float64Array).forEach((v, j) => expect(Math.abs(v - float![j]!)).toBeLessThan(LOGITS));
    }
  });

  it('keep denominators in the range that they have at public lengths', () => {
    const ratio = (p: Plan, l: number): number => p.layers[l]!.D.interval[1] / p.layers[l]!.D.interval[0];
    const open = planned(bounds, ranges, false);
    const unscaled = planned(bounds, ranges, true, false);
    for (const l of [0, 1]) {
      // F is rounded to 1/16 either way in both
      expect(ratio(plan, l) / ratio(open, l)).toBeLessThan((17 / 15) ** 4);
      expect(ratio(unscaled, l)).toBeGreaterThan(2 * ratio(plan, l));
    }
  });

  it('take these products and look-ups, and openings without a guard only where nothing can be out of range', () => {
    const { gates } = lowered.program;
    const named = (...ops: string[]): string[] => gates.filter(({ op }) => ops.includes(op)).map(({ name }) => name);
    expect(named('outer', 'lookup')).toEqual(['mu.w.table', 'mu.w.share', 'mu.F.table', 'mu.F.share', '0.Kmean', '1.Kmean']); // prettier-ignore
    const guarded = new Set(named('guard'));
    const open = named('ext').filter((name) => !guarded.has(`${name}.guard`) && !name.endsWith('.back.y'));
    expect(open).toEqual(['mu.w.o', 'mu.F.o', '0.o_K', '1.o_K']);
    for (const wire of ['mu.w', 'mu.F']) {
      const look = gates.find(({ name }) => name === `${wire}.table`)! as Extract<(typeof gates)[0], { op: 'lookup' }>;
      const { n } = gates.find(({ name }) => name === `${wire}.o`)!;
      for (const entry of look.table) expect(entry >= 0 && entry < 2 ** ((n as number) - 2)).toBe(true);
    }
  });
});

it('tables of n: 1/n and √(longest / n), that of the shortest text below it, and 0 for no token', () => {
  const factor = { longest: 12, bits: 3, centred: false };
  const range = { shortest: 3, longest: 13 };
  const [scales, weights] = [scaleTable(range, factor), weightTable(range, 10, factor)];
  expect(weightTable(range, 10, undefined)).toEqual([0, 1024, 512, 341, 256, 205, 171, 146, 128, 114, 102, 93, 85, 79, 73, 68]); // prettier-ignore
  expect(scales.slice(0, 4)).toEqual([0, 16, 16, 16]);
  for (let n = 3; n <= 12; n++) expect(Math.abs(scales[n]! / 8 / Math.sqrt(12 / n) - 1)).toBeLessThanOrEqual(1 / 16);
  expect(scales.slice(12)).toEqual([8, 8, 8, 8]);
  weights.forEach((w, n) => expect(w).toBe(n === 0 ? 0 : Math.round((1024 * scales[n]!) / 8 / n)));
});

describe('its guard', () => {
  it('withholds exactly where a sum of keys leaves its ring, as the clear interpreter refuses', async () => {
    // declared far narrower than they are, so that many texts are outside (unscaled: keys are not opened themselves)
    const wires0 = new Map(ranges.wires);
    const { max } = ranges.wires.get('0.ksum')!;
    wires0.set('0.ksum', { min: new Float64Array(1), max: max.map((v) => v / 6) });
    const layers = bounds.layers.map((layer, l) => (l === 0 ? { ...layer, key: layer.key / 50 } : layer));
    const narrow = made(planned({ ...bounds, layers }, { ...ranges, wires: wires0 }, true, false));
    const q = narrow.program.gates.find(({ name }) => name === '0.o_Ksum')!;
    const legal = 2 ** ((q.n as number) - 2);
    const memory = split(narrow);
    const counts = { given: 0, withheld: 0 };
    for (const [i, text] of served.entries()) {
      const { disclosed, logits, tape } = await runInMemory(memory, [text], i);
      let largest = 0;
      let clear: ReturnType<typeof run> | undefined;
      try {
        interpret(narrow.program, integersOf(narrow.program, narrow.tensors), [text], tape, ({ name }, x) => {
          if (name === '0.Ksumt') largest = Math.max(...toBigInts(x).map((v) => Math.abs(Number(BigInt.asIntN(x.n, v))))); // prettier-ignore
        });
        clear = run(narrow, text, tape);
      } catch (error) {
        expect(error).toBeInstanceOf(RefusedError);
        expect((error as Error).message).toMatch(/^gate 0\.o_Ksum/);
      }
      expect(disclosed[0] !== undefined, `text ${i}`).toBe(clear !== undefined);
      // what the weights allow by the narrow declaration, 3·2^(n−2), holds of these texts
      expect(largest).toBeLessThan(3 * legal);
      if (largest >= legal) expect(clear).toBeUndefined();
      if (largest < 0.75 * legal) expect(clear).toBeDefined();
      if (clear !== undefined) expect(equal(clear, logits)).toBe(true);
      counts[clear === undefined ? 'withheld' : 'given']++;
    }
    expect(counts.given).toBeGreaterThan(2);
    expect(counts.withheld).toBeGreaterThan(2);
  });

  it.each<[RegExp, (p: Plan) => Plan]>([
    [/0\.o_Ksum: the weights allow/, (p) => layer(p, { reach: { ...p.layers[0]!.reach!, keySum: 1e6 } })],
    [/0\.o_Ksum: the weights allow/, (p) => layer(p, { reach: without(p.layers[0]!.reach!, 'keySum') })],
    [/2quad_centred needs a public length/, (p) => without(p, 'keyMean')],
    [/2quad_centred needs a public length/, (p) => ({ ...p, layers: p.layers.with(0, without(p.layers[0]!, 'nKs')) })],
    [/0: key mean ring above the ring of its weights/, (p) => mean(p, { n: p.keyMean!.n - 1 })],
    [/0: key mean ring not above the ring of sums/, (p) => layer(p, { nKs: 60, nEx: 90 })],
    [/scores scaled by the length need a public length/, (p) => without(p, 'keyScale')],
    [
      /scores scaled by the length need a public length/,
      (p) => ({ ...p, layers: p.layers.with(0, without(p.layers[0]!, 'nK')) }),
    ],
    [
      /0\.o_K: the weights allow/,
      (p) => layer(p, { reach: { ...p.layers[0]!.reach!, key: 2 ** (p.layers[0]!.nK! - 2 - p.fk) } }),
    ],
    [/0: scaled key ring above the ring of its factor/, (p) => ({ ...p, keyScale: { ...p.keyScale!, n: 20 } })],
    [/0: scaled key ring not above the ring of keys/, (p) => layer(p, { nK: 60, nEx: 90 })],
    [/ring of the factor above 64/, (p) => ({ ...p, keyScale: { ...p.keyScale!, n: 65 } })],
    [/ring of a token’s weight above 64/, (p) => mean(p, { n: 65 })],
    [/fraction bits of the mean of the keys/, (p) => mean(p, { f: 0 })],
    [/mu ring below a ring that uses it/, (p) => ({ ...mean(p, { n: 64 }), n_mu: 60 })],
    [/tables of n/, (p) => ({ ...p, longest: 4096, buckets: [4096] })],
  ])('a plan without it is refused: %s', (what, edit) => {
    expect(() => checkPlan(plan)).not.toThrow();
    expect(() => checkPlan(edit(plan))).toThrow(RefusedError);
    expect(() => checkPlan(edit(plan))).toThrow(what);
  });

  const layer = (p: Plan, change: Partial<Plan['layers'][0]>): Plan => ({
    ...p,
    layers: p.layers.with(0, { ...p.layers[0]!, ...change }),
  });
  const mean = (p: Plan, change: Partial<NonNullable<Plan['keyMean']>>): Plan => ({
    ...p,
    keyMean: { ...p.keyMean!, ...change },
  });
  function without<T extends object, K extends keyof T>(value: T, key: K): T {
    const { [key]: _, ...rest } = value;
    return rest as T;
  }
});

describe('a client that marks other rows', () => {
  let dir: string;
  let bundles: Bundles;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hidden-centred-'));
    await writeExport(join(dir, 'bundles'), { plan, folded: fold(model, plan), ...lowered }, { labels: config.labels, tokenizerDir: tinyTokenizer() }); // prettier-ignore
    bundles = await readBundles(join(dir, 'bundles'));
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  /** Both parties get the client's message with these bits of β, its last byte, turned around. */
  const marked = async (question: Encoding, flips: number) => {
    const longest = [0, 0];
    const turn = (party: 0 | 1) => (message: Uint8Array) => {
      // the input is by far the client's longest message
      longest[party] = Math.max(longest[party]!, message.length);
      const own = message.length > 100 ? message.with(message.length - 1, message.at(-1)! ^ flips) : message;
      return [{ message: own }];
    };
    const faults = { 'client > party 0': turn(0), 'client > party 1': turn(1) };
    const { answer } = await converse(bundles, { entropy: SYSTEM_ENTROPY, question, faults, timeout: 20_000 });
    expect(longest[0]).toBeGreaterThan(100);
    return answer;
  };

  it('gets the answer to the text of the rows it marked: every bit string is some padding', async () => {
    const five = served.find(({ ids }) => ids.length === 5)!;
    const longer: Encoding = { ids: [...five.ids, 0, 0, 0], types: [...five.types, 0, 0, 0] };
    const [float] = await floatLogits(engine, config, tensors, [longer]);
    const answer = await marked(five, 0b1110_0000);
    if (answer instanceof Failure) throw answer;
    answer.logits.forEach((v, j) => expect(Math.abs(v - float![j]!)).toBeLessThan(LOGITS));
  });

  it('gets none for a text without a token', async () => {
    const five = served.find(({ ids }) => ids.length === 5)!;
    const answer = await marked(five, 0b0001_1111);
    expect(answer).toBeInstanceOf(Failure);
    expect((answer as Failure).message).toMatch(/withheld/);
    const none = { ...padText(five, BUCKETS), valid: new Array<number>(8).fill(0) };
    expect(() => run(lowered, none)).toThrow(RefusedError);
  });
});
