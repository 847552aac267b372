import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { float32, int64, type Feeds } from '../../engine/engine.ts';
import {
  add,
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
import { adamW, bertAdam, decays, firstMoment, secondMoment } from '../../engine/optimizer.ts';
import { hiddenLoss, scoreLoss, type LayerConvention } from '../../train/loss/layers.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders } from '../support/golden.ts';
import { ENGINES } from '../support/engines.ts';

interface OptimiserJson extends CaseJson {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly bias_correction: boolean;
  /** Of stage-one distillation. */
  readonly convention?: LayerConvention;
  readonly recorded_after_steps: readonly number[];
  readonly hyper: { readonly steps: number; readonly weight_decay: number; readonly max_norm: number };
  readonly steps: readonly {
    lr: number;
    /** AdamW: global. */
    norm_before_clipping?: number;
    /** BertAdam: of each tensor. */
    norm_before_clipping_per_parameter?: Readonly<Record<string, number>>;
  }[];
}

/** The global norm of the gradients of step i. */
const globalNorm = ({ steps }: OptimiserJson, i: number): number => {
  const { norm_before_clipping: norm, norm_before_clipping_per_parameter: each } = steps[i - 1]!;
  return norm ?? Math.hypot(...Object.values(each!));
};

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
  const { json } = golden;
  const config = caseConfig(json);
  const parameter = (name: string): Node => graph.parameter(name, golden.get(`input.param.${name}`).shape);
  const { logits, ops } = bertGraph(config, { graph, parameter, paddingId: 0 });
  let loss: Node;
  let targets: (step: number) => Feeds;
  if (json.convention === undefined) {
    const labels = graph.input('labels', 'int64', ['B']);
    const chosen = cast(equal(reshape(labels, ['B', 1]), arange(logits, logits.shape[1]!)), 'float32');
    loss = neg(mean(sum(mul(logSoftmax(logits), chosen), [1])));
    targets = (step) => {
      const { shape, data } = golden.get(`input.step${step}.labels`);
      return { labels: int64(shape, [...data]) };
    };
  } else {
    const weights = golden.weights('teacher.weight.');
    const teacher = bertGraph(caseConfig({ ...json, normaliser: 'softmax', activation: 'gelu' }), {
      graph,
      parameter: (name) => graph.parameter(`teacher.${name}`, weights.get(name)!.shape),
    }).ops;
    const held = Object.fromEntries([...weights].map(([n, t]) => [`teacher.${n}`, float32(t.shape, t.data)]));
    const [layers, convention] = [config.num_hidden_layers, json.convention];
    loss = add(
      hiddenLoss(ops.probes, teacher.probes, ops.mask, layers, convention).sum,
      scoreLoss(ops.probes, teacher.probes, ops.mask, layers, convention, false).sum,
    );
    targets = () => held;
  }
  const gradient = gradients(loss, names.map(parameter));
  return {
    gradientOf: new Map(
      names.flatMap((n) => (gradient.has(parameter(n)) ? [[n, gradient.get(parameter(n))!] as const] : [])),
    ),
    outputs: { loss },
    feeds: (step) => ({ ...bertFeeds(golden.batch(`input.step${step}.`)), ...targets(step) }),
  };
}

describe.each(ENGINES)('AdamW and BertAdam on $name agree with PyTorch in float64', (engine) => {
  for (const folder of caseFolders('03_optimizer')) {
    const name = basename(folder);
    it(name, async () => {
      const golden = await GoldenCase.read<OptimiserJson>(folder);
      const { json } = golden;
      const graph = new Graph();
      const weights = golden.weights('input.param.');
      const names = [...weights.keys()];
      const source = (isModel(json) ? trained : given)(graph, golden, names);
      const optimiser = (json.bias_correction ? adamW : bertAdam)(graph, source.gradientOf, {
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
        const { lr } = json.steps[i - 1]!;
        const norm = globalNorm(json, i);
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
