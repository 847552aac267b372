/** Inverses with a Newton step: small models whose ranges are declared far wider than they are, public and hidden lengths. */
import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { RefusedError } from '../../common/errors.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { amplitude } from '../../export/amplitude.ts';
import { boundsOf } from '../../export/bounds.ts';
import { calibrate } from '../../export/calibrate.ts';
import { integersOf, interpret, seededTape } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
import { lower, type Lowered } from '../../export/lower.ts';
import { BALANCED, makePlan } from '../../export/make-plan.ts';
import { newtonError, newtonStep } from '../../export/newton.ts';
import { normSites } from '../../export/norm-sites.ts';
import type { Plan, PlanReciprocal } from '../../export/plan.ts';
import { floatLogits } from '../../export/random-model.ts';
import type { Ranges } from '../../export/ranges.ts';
import { realModel } from '../../export/real-model.ts';
import { denominatorSite, normSite, residual } from '../../export/residual.ts';
import { programCost } from '../../protocol/cost.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import { checkProgram } from '../../protocol/resolve.ts';
import { decode, toBigInts } from '../../ring/index.ts';
import { runInMemory, splitModel, type MemoryModel } from '../../runtime/memory.ts';
import { randomTexts } from '../support/random-texts.ts';
import { tinyConfig, tinyTensors } from '../support/tiny-model.ts';

/** Fixed point of the tiny models against float: what the specification allows its own. */
const LOGITS = 0.02;
const [SHORTEST, LONGEST] = [2, 13];
/** Tokens below are calibrated; the last one never occurs. */
const OUTLIER = 16;

const config = tinyConfig({ softmax_act: '2quad', softmax_c: [[3, 4, 5], [4, 3, 6]], hidden_act: 'gelu', type_vocab_size: 2 }); // prettier-ignore
const tensors = tinyTensors(config, 5);
tensors.get('bert.embeddings.word_embeddings.weight')!.data.set([30, -20, 25, 0, 0, 0, 0, 0, 0, 0, -15, -20], OUTLIER * config.hidden_size); // prettier-ignore
const model = realModel(config, tensors);
const engine = createEngine({ threads: 1 });

const texts = (each: number, seed: number): Encoding[] =>
  randomTexts({ shortest: SHORTEST, longest: LONGEST, vocab: OUTLIER }, each, seed);

/** Wires of one inverse of every kind: reciprocal, LayerNorms behind attention and feed-forward. */
const WIDE = ['0.D', '0.ln1', '0.ln2'];

/** Ends of the plan's intervals: margins of the calibrated least and greatest value. */
const { mar, marD } = BALANCED;

/** The wide wires' intervals end `up` times where they would, and begin at `ratio` below that. */
function widened(ranges: Ranges, ratio: number, up = 1): Ranges {
  const wires = new Map(ranges.wires);
  for (const [name, margins] of [
    ['0.D', mar * marD],
    ['0.DF', mar * marD],
    ['0.DH', mar * marD],
    ['0.ln1.var', mar ** 2],
    ['0.ln2.var', mar ** 2],
  ] as const) {
    const found = wires.get(name);
    if (found === undefined) continue;
    const max = found.max.map((v) => v * up);
    wires.set(name, { min: max.map((v) => (v * margins) / ratio), max });
  }
  return { ...ranges, wires };
}

const inverses = (p: Plan): [string, PlanReciprocal][] => [
  ...p.layers.map((q, l): [string, PlanReciprocal] => [`${l}.D`, q.D]),
  ...Object.entries(p.norm),
];

it('float64: the error after a step is what the formulas say', () => {
  for (const e of [-0.1, -0.03, 0.03, 0.1]) {
    const [once, root] = [1 + e, 1 + e].map((y, i) => (i === 0 ? y * (2 - y) : (y * (3 - y * y)) / 2));
    expect(Math.abs(once! - 1)).toBeLessThanOrEqual(newtonError(Math.abs(e), false));
    expect(Math.abs(root! - 1)).toBeLessThanOrEqual(newtonError(Math.abs(e), true));
    expect(Math.abs(root! - 1)).toBeGreaterThan(1.4 * e ** 2 - Math.abs(e) ** 3);
  }
});

describe.each([
  ['public lengths', undefined],
  ['hidden lengths', [8, LONGEST]],
] as const)('%s', (_, buckets) => {
  const served = texts(2, 9);
  let ranges: Ranges;
  let plan: Plan;
  let lowered: Lowered;
  let memory: MemoryModel;

  const made = (p: Plan): Lowered => lower(p, fold(model, p));
  const split = ({ program, tensors: integers }: Lowered): MemoryModel =>
    splitModel(program, (name) => integersOf(program, integers)(name, program.tensors[name]!.n), 3);
  const planOf = (r: Ranges): Plan =>
    makePlan({ ...model, bounds: boundsOf(model) }, r, { ...BALANCED, ...(buckets && { buckets }) });

  beforeAll(async () => {
    const encodings = [...texts(12, 4), ...served];
    ranges = await calibrate({ encodings, shortest: SHORTEST, longest: LONGEST }, { engine, config, tensors });
    plan = planOf(widened(ranges, 1000));
    lowered = made(plan);
    memory = split(lowered);
  });

  it('takes the step where the ratio asks for it, and nowhere else', () => {
    for (const [key, r] of inverses(plan)) {
      const [lo, hi] = r.interval;
      expect([key, r.newton !== undefined]).toEqual([key, WIDE.includes(key)]);
      if (!WIDE.includes(key)) continue;
      expect(hi / lo).toBeGreaterThan(600);
      expect(r.newton).toBeGreaterThan(10 * r.fit_error);
      expect(r.fit_error).toBeLessThan(1e-3);
    }
  });

  it('is a program like any other: checks, two rounds more an inverse, declared cost', async () => {
    const { program } = lowered;
    checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
    const batch = [0, 9, 23].map((i) => served[i]!);
    const lengths = batch.map((t) => bucketOf(t.ids.length, buckets));
    const { total } = programCost(program, { lengths, heads: program.heads });
    expect(total.rounds).toBe((buckets === undefined ? 15 : 16) * 2 + 7 + 2 * WIDE.length);
    const run = await runInMemory(memory, batch, 1);
    expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
  });

  it('answers every calibrated text, bit for bit the clear interpreter, near the float model', async () => {
    const { program, tensors: integers } = lowered;
    for (const [i, text] of served.entries()) {
      const run = await runInMemory(memory, [text], i);
      const [answer] = run.disclosed;
      expect(answer, `text ${i}`).toBeDefined();
      expect(toBigInts(answer!)).toEqual(toBigInts(interpret(program, integersOf(program, integers), [text], run.tape))); // prettier-ignore
      const [float] = await floatLogits(engine, config, tensors, [text]);
      decode(answer!, program.gates[program.output]!.f).forEach((v, j) => expect(Math.abs(v - float![j]!)).toBeLessThan(LOGITS)); // prettier-ignore
    }
  });

  it('every inverse is within its declared error of float64', () => {
    const { program, tensors: integers } = lowered;
    const wires = new Map<string, Float64Array>();
    // the last text fills its bucket: no padding rows
    const text = served.at(-1)!;
    interpret(program, integersOf(program, integers), [text], seededTape(1, program), (gate, x) => {
      if (/\.(D|ss|invt)$/.test(gate.name)) wires.set(gate.name, Float64Array.from(toBigInts(x), (v) => Number(BigInt.asIntN(x.n, v)) / 2 ** gate.f)); // prettier-ignore
    });
    for (const key of WIDE) {
      const [r, v] = key === '0.D' ? [plan.layers[0]!.D, '0.D'] : [plan.norm[key]!, `${key}.ss`];
      const f = (x: number): number => (key === '0.D' ? 1 / x : Math.sqrt(config.hidden_size / x));
      const y = wires.get(`${key}.invt`)!;
      wires.get(v)!.forEach((x, i) => {
        expect(x).toBeGreaterThan(r.interval[0]);
        // the last cut is below one unit, the product and its series are rounded to less than another
        const rounding = 2 * 2 ** -r.gate.f_out;
        expect(Math.abs(y[i]! - f(x))).toBeLessThan(r.fit_error * f(x) + rounding);
      });
    }
  });

  it('withholds the answer to an uncalibrated token', async () => {
    for (let i = 0; i < 4; i++) {
      const text = served[3 * i]!;
      const strange = { ...text, ids: text.ids.with(text.ids.length - 1, OUTLIER) };
      expect((await runInMemory(memory, [strange], i)).disclosed[0]).toBeUndefined();
    }
  });

  it('below and above the interval: withheld exactly where the clear interpreter refuses, else bit for bit its answer', async () => {
    // intervals that end below, or begin above, some of the values
    for (const up of [1e3, 1 / 8]) {
      let withheld = 0;
      const shifted = made(planOf(widened(ranges, 650, up)));
      const { program, tensors: integers } = shifted;
      expect(program.gates.some(({ name }) => name.includes('.newton.'))).toBe(true);
      const own = split(shifted);
      for (const [i, text] of served.slice(0, 12).entries()) {
        const run = await runInMemory(own, [text], i);
        let clear: ReturnType<typeof interpret> | undefined;
        try {
          clear = interpret(program, integersOf(program, integers), [text], run.tape);
        } catch (error) {
          expect(error).toBeInstanceOf(RefusedError);
        }
        const [answer] = run.disclosed;
        expect(answer !== undefined, `text ${i}`).toBe(clear !== undefined);
        if (answer === undefined) withheld++;
        else expect(toBigInts(answer)).toEqual(toBigInts(clear!));
      }
      expect(withheld, `interval times ${up}`).toBeGreaterThan(0);
    }
  });

  it('the guard of a step: everything that passes is an inverse, whatever made y', () => {
    const sites = [denominatorSite(plan, 0), ...normSites(plan).map((site) => normSite(plan, site))];
    for (const site of sites.filter(({ fit }) => fit.newton !== undefined)) {
      const r = residual(site);
      expect(r.upperY).toBeDefined();
      // y is judged in the whole ring in which it is used, or in one that holds the step of all sums of its series
      expect(r.upperY![0]!.n).toBe(r.nY);
      const a = amplitude(site.fit.gate);
      const most = site.square ? (3 * a + (r.limit / site.target) * a ** 3) / 2 : 2 * a + r.limit * a ** 2;
      const whole = r.nY === site.nY - r.cutY;
      expect(whole || most * 2 ** (site.fit.gate.f_out - r.cutY) < 2 ** (r.nY - 2)).toBe(true);
      const step = newtonStep(site);
      expect(step.nEnd - step.cut).toBe(site.nY);
      expect(step.nP).toBeLessThanOrEqual(128);
    }
  });
});
