/** Centred scores where lengths are hidden: the mean of the keys over a secret number of tokens, and what a client can make of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, RefusedError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { boundsOf, type Bounds } from '../../export/bounds.ts';
import { calibrate } from '../../export/calibrate.ts';
import { fixedPredict, integersOf, interpret, seededTape } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
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

function texts(each: number, seed: number): Encoding[] {
  const random = new CounterRandom(seed, 'texts');
  return Array.from({ length: (LONGEST - SHORTEST + 1) * each }, (_, i) => {
    const length = SHORTEST + Math.floor(i / each);
    return {
      ids: Array.from({ length }, () => random.int(config.vocab_size)),
      types: Array.from({ length }, (_v, j) => (2 * j >= length ? 1 : 0)),
    };
  });
}

const served = texts(2, 9);
let ranges: Ranges;
let plan: Plan;
let lowered: Lowered;

const planned = (own: Bounds, r: Ranges, hidden = true): Plan =>
  makePlan({ ...model, bounds: own }, r, { ...BALANCED, ...(hidden && { buckets: BUCKETS }) });
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

describe('the mean of the keys', () => {
  /** Integers of every wire of one text. */
  const wires = (text: PaddedTokens): Map<string, number[]> => {
    const { program, tensors: integers } = lowered;
    const seen = new Map<string, number[]>();
    interpret(program, integersOf(program, integers), [text], seededTape(7, program), ({ name }, x) => {
      seen.set(name, toBigInts(x).map((v) => Number(BigInt.asIntN(x.n, v)))); // prettier-ignore
    });
    return seen;
  };

  it('is taken over the real tokens alone, within 3.5 units; keys of padding are 0', () => {
    const { H } = model;
    const unit = 2 ** (plan.fx + plan.fw - plan.fk);
    for (const text of served) {
      const [n, L] = [text.ids.length, padText(text, BUCKETS).ids.length];
      const seen = wires(text);
      expect(seen.get('mu.w')).toEqual(Array.from({ length: L }, (_, j) => (j < n ? Math.round(2 ** plan.keyMean!.f / n) : 0))); // prettier-ignore
      for (const l of [0, 1]) {
        const [x, W, K] = [seen.get(`${l}.E_n`)!, lowered.tensors.get(`${l}.Wk`)!, seen.get(`${l}.K`)!];
        const key = (j: number, h: number): number => {
          let sum = 0;
          for (let i = 0; i < H; i++) sum += x[j * H + i]! * W.data[i * H + h]!;
          return sum / unit;
        };
        for (let h = 0; h < H; h++) {
          const column = Array.from({ length: L }, (_, j) => key(j, h));
          const mean = column.slice(0, n).reduce((a, b) => a + b, 0) / n;
          // below one unit each: the cut of the key, of the sum (by n) and of the mean; half a unit: 1/n
          for (let j = 0; j < n; j++) expect(Math.abs(K[j * H + h]! - (column[j]! - mean))).toBeLessThan(3.5);
          for (let j = n; j < L; j++) expect(K[j * H + h]).toBe(0);
        }
      }
    }
  });

  it('differs from public lengths by no more than rounding', () => {
    const open = made(planned(bounds, ranges, false));
    const logits = [lowered, open].map(({ program, tensors: integers }) =>
      fixedPredict(program, integersOf(program, integers), served),
    );
    served.forEach((_, i) => {
      const [a, b] = logits.map((answers) => answers[i]!);
      if (a instanceof Error || b instanceof Error) throw new Error(`text ${i} is refused`);
      a!.forEach((v, j) => expect(Math.abs(v - b![j]!), `text ${i}`).toBeLessThan(2 * LOGITS));
    });
  });

  it('takes one product a layer, and no larger ring of its operand than public lengths', () => {
    const open = planned(bounds, ranges, false);
    plan.layers.forEach((q, l) => expect(q.nEx).toBeLessThanOrEqual(open.layers[l]!.nEx));
    const added = lowered.program.gates.filter(({ op }) => ['outer', 'lookup'].includes(op)).map(({ name }) => name);
    expect(added).toEqual(['mu.inv', 'mu.w.share', '0.Kmean', '1.Kmean']);
  });
});

describe('its guard', () => {
  it('withholds exactly where a sum of keys leaves its ring, as the clear interpreter refuses', async () => {
    // declared far narrower than they are, so that many texts are outside
    const wires0 = new Map(ranges.wires);
    const { max } = ranges.wires.get('0.ksum')!;
    wires0.set('0.ksum', { min: new Float64Array(1), max: max.map((v) => v / 6) });
    const layers = bounds.layers.map((layer, l) => (l === 0 ? { ...layer, key: layer.key / 50 } : layer));
    const narrow = made(planned({ ...bounds, layers }, { ...ranges, wires: wires0 }));
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
    [/ring of a token’s weight above 64/, (p) => mean(p, { n: 65 })],
    [/fraction bits of the mean of the keys/, (p) => mean(p, { f: 0 })],
    [/mu ring below a ring that uses it/, (p) => ({ ...mean(p, { n: 64 }), n_mu: 60 })],
    [/table of 1\/n/, (p) => ({ ...p, longest: 4096, buckets: [4096] })],
    [/scores scaled by the length need a public length/, (p) => ({ ...p, per_length: 3 })],
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
