import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { float32, int64, type Feeds } from '../../engine/engine.ts';
import {
  arange,
  cast,
  equal,
  gradients,
  Graph,
  logSoftmax,
  mean,
  mul,
  neg,
  reshape,
  sum,
  type Node,
} from '../../engine/graph/index.ts';
import { adamW, decays, firstMoment, secondMoment } from '../../engine/optimizer.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders } from '../support/golden.ts';
import { ENGINES } from '../support/engines.ts';

interface OptimiserJson extends CaseJson {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly recorded_after_steps: readonly number[];
  readonly hyper: { readonly steps: number; readonly weight_decay: number; readonly max_norm: number };
  readonly steps: readonly { lr: number; norm_before_clipping: number }[];
}

/** The published optimiser without bias correction is not part of this engine. */
const LEFT_OUT = /^bertadam-/;

const isModel = (json: OptimiserJson): boolean => 'normaliser' in json;

/** Gradients of each parameter, and what must be fed at step i (from 1) to get them. */
interface Source {
  readonly gradientOf: ReadonlyMap<string, Node>;
  readonly outputs: Readonly<Record<string, Node>>;
  feeds(step: number): Feeds;
}

function given(graph: Graph, golden: GoldenCase<OptimiserJson>, names: readonly string[]): Source {
  const tensor = (step: number, name: string): ReturnType<typeof golden.get> =>
    golden.get(`input.grad.step${step}.${name}`);
  return {
    gradientOf: new Map(names.map((n) => [n, graph.input(`grad.${n}`, 'float32', tensor(1, n).shape)])),
    outputs: {},
    feeds: (step) =>
      Object.fromEntries(
        names.map((n) => [`grad.${n}`, float32(tensor(step, n).shape, Float32Array.from(tensor(step, n).data))]),
      ),
  };
}

function trained(graph: Graph, golden: GoldenCase<OptimiserJson>, names: readonly string[]): Source {
  const parameter = (name: string): Node => graph.parameter(name, golden.get(`input.param.${name}`).shape);
  const { logits } = bertGraph(caseConfig(golden.json), { graph, parameter, paddingId: 0 });
  const labels = graph.input('labels', 'int64', ['B']);
  const chosen = cast(equal(reshape(labels, ['B', 1]), arange(logits, logits.shape[1]!)), 'float32');
  const loss = neg(mean(sum(mul(logSoftmax(logits), chosen), [1])));
  const gradient = gradients(loss, names.map(parameter));
  return {
    gradientOf: new Map(names.map((n) => [n, gradient.get(parameter(n))!])),
    outputs: { loss },
    feeds: (step) => {
      const { shape, data } = golden.get(`input.step${step}.labels`);
      return { ...bertFeeds(golden.batch(`input.step${step}.`)), labels: int64(shape, [...data]) };
    },
  };
}

describe.each(ENGINES)('AdamW on $name agrees with PyTorch in float64', (engine) => {
  for (const folder of caseFolders('03_optimizer')) {
    const name = basename(folder);
    if (LEFT_OUT.test(name)) {
      it(`${name}: left out`, () => {
        const { bias_correction } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as {
          bias_correction: boolean;
        };
        expect(bias_correction, 'only the optimiser without bias correction is left out').toBe(false);
      });
      continue;
    }
    it(name, async () => {
      const golden = await GoldenCase.read<OptimiserJson>(folder);
      const { json } = golden;
      expect(json, 'an AdamW case').toMatchObject({ bias_correction: true });
      const graph = new Graph();
      const weights = golden.weights('input.param.');
      const names = [...weights.keys()];
      const source = (isModel(json) ? trained : given)(graph, golden, names);
      const optimiser = adamW(graph, source.gradientOf, {
        beta1: json.betas[0],
        beta2: json.betas[1],
        epsilon: json.eps,
        weightDecay: json.hyper.weight_decay,
        maxNorm: json.hyper.max_norm,
      });
      const state = engine.createState(new Map([...weights, ...optimiser.moments]));
      const step = await engine.compileStep(
        graph,
        { ...source.outputs, norm: optimiser.norm },
        optimiser.updates,
        state,
      );
      let compared = 0;
      for (let i = 1; i <= json.hyper.steps; i++) {
        const { lr, norm_before_clipping: norm } = json.steps[i - 1]!;
        const result = await step.run({ ...source.feeds(i), ...optimiser.feeds(i, lr) });
        // Worst case of a float32 sum of squares: one unit round-off per element. A trained norm also carries the
        // gradients' own rounding, which the tolerances of the tensors below account for.
        if (!isModel(json)) {
          const count = names.reduce((a, n) => a + golden.get(`input.grad.step${i}.${n}`).data.length, 0);
          expectClose(result['norm']!.data as Float32Array, [norm], count * 2 ** -24 * norm, `norm of step ${i}`);
        }
        if (!json.recorded_after_steps.includes(i)) continue;
        for (const n of names) {
          for (const [kind, held] of [
            ['param', n],
            ['m', firstMoment(n)],
            ['v', secondMoment(n)],
          ] as const) {
            const key = `step${i}.${kind}.${n}`;
            if (!golden.names.includes(`expected.${key}`)) continue;
            expectClose(state.read(held).data, golden.get(`expected.${key}`).data, json.tolerance[key]?.float32, key);
            compared++;
          }
        }
      }
      await step.release();
      expect(compared).toBe(golden.names.filter((n) => n.startsWith('expected.step')).length);
    });
  }

  it('decay spares biases and LayerNorm parameters', () => {
    expect(decays('bert.pooler.dense.weight')).toBe(true);
    expect(decays('bert.pooler.dense.bias')).toBe(false);
    expect(decays('bert.embeddings.LayerNorm.weight')).toBe(false);
  });
});
