import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { float32, int64, type Feeds } from '../../engine/engine.ts';
import { gradients, Graph, type Node } from '../../engine/graph/index.ts';
import { parameterShapes } from '../../model/names.ts';
import { crossEntropy } from '../../train/loss/cross-entropy.ts';
import { hiddenLoss, scoreLoss, type LayerConvention } from '../../train/loss/layers.ts';
import { meanSquaredError } from '../../train/loss/mean-squared-error.ts';
import { softCrossEntropy, type SoftConvention } from '../../train/loss/soft-cross-entropy.ts';
import { add } from '../../engine/graph/index.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders, GOLDEN_DIR } from '../support/golden.ts';
import { ENGINES } from '../support/engines.ts';

interface BackwardJson extends CaseJson {
  readonly losses: Readonly<Record<string, number>>;
  readonly parameters_without_gradient: readonly string[];
  readonly convention?: string;
  readonly temperature?: number;
}

/** The teacher of stage one, whatever the student. */
const TEACHER = { normaliser: 'softmax', activation: 'gelu' };

/** The named losses of a case as nodes, and what they need beside the model's inputs. */
function build(
  name: string,
  golden: GoldenCase<BackwardJson>,
  paddingId: number | undefined,
): { graph: Graph; outputs: Map<string, Node>; parameters: Map<string, Node>; feeds: Feeds } {
  const { json } = golden;
  const config = caseConfig(json);
  const shapes = parameterShapes(config);
  const graph = new Graph();
  const parameters = new Map([...shapes].map(([n, shape]) => [n, graph.parameter(n, shape)] as const));
  const { logits, ops } = bertGraph(config, {
    graph,
    parameter: (n) => parameters.get(n)!,
    ...(paddingId === undefined ? {} : { paddingId }),
  });
  const batch = golden.batch();
  const weights = [...golden.weights('weight.')].map(([n, t]) => [n, float32(t.shape, t.data)] as const);
  const feeds: Record<string, ReturnType<typeof float32>> = { ...bertFeeds(batch), ...Object.fromEntries(weights) };
  const outputs = new Map<string, Node>();

  if (name.startsWith('cross-entropy-')) {
    feeds['labels'] = int64([batch.batch], [...golden.get('input.labels').data]);
    outputs.set('loss', crossEntropy(logits, graph.input('labels', 'int64', ['B'])));
  } else if (name.startsWith('regression-')) {
    feeds['labels'] = float32([batch.batch], [...golden.get('input.labels').data]);
    outputs.set('loss', meanSquaredError(logits, graph.input('labels', 'float32', ['B'])));
  } else if (name.startsWith('stage-two-')) {
    const { shape, data } = golden.get('input.teacher_logits');
    feeds['teacher_logits'] = float32(shape, Float32Array.from(data));
    const teacher = graph.input('teacher_logits', 'float32', ['B', shape[1]!]);
    outputs.set('loss', softCrossEntropy(logits, teacher, json.temperature!, json.convention as SoftConvention));
  } else if (name.startsWith('stage-one-')) {
    const teacher = bertGraph(caseConfig({ ...json, ...TEACHER }), {
      graph,
      parameter: (n) => graph.parameter(`teacher.${n}`, shapes.get(n)!),
    }).ops;
    for (const [n, t] of golden.weights('teacher.weight.')) feeds[`teacher.${n}`] = float32(t.shape, t.data);
    const convention = json.convention as LayerConvention;
    const layers = config.num_hidden_layers;
    const hidden = hiddenLoss(ops.probes, teacher.probes, ops.mask, layers, convention);
    const scores = scoreLoss(ops.probes, teacher.probes, ops.mask, layers, convention, false);
    for (const [n, node] of [...hidden.terms, ...scores.terms]) outputs.set(n, node);
    outputs.set('loss', add(hidden.sum, scores.sum));
  } else {
    throw new Error(`${name}: a case of unknown kind`);
  }
  return { graph, outputs, parameters, feeds };
}

describe.runIf(GOLDEN_DIR !== undefined).each(ENGINES)(
  'losses and their gradients on $name agree with PyTorch',
  (engine) => {
    for (const folder of caseFolders('02_backward')) {
      const name = basename(folder);
      // grad: padding_idx = 0 as in transformers; grad_full: the plain derivative, where the two differ.
      for (const [prefix, paddingId] of [
        ['grad', 0],
        ['grad_full', undefined],
      ] as const) {
        it(`${name}: ${prefix}`, async () => {
          const golden = await GoldenCase.read<BackwardJson>(folder);
          const { tolerance, parameters_without_gradient: without } = golden.json;
          const { graph, outputs, parameters, feeds } = build(name, golden, paddingId);
          const found = gradients(outputs.get('loss')!, parameters.values());
          const absent = [...parameters].filter(([, node]) => !found.has(node)).map(([n]) => n);
          expect(absent.toSorted()).toEqual([...without].toSorted());

          const wanted: Record<string, Node> = Object.fromEntries(outputs);
          const expected = golden.names.filter((n) => n.startsWith(`expected.${prefix}.`)).map((n) => n.slice(9));
          expect(expected.length).toBeGreaterThan(0);
          for (const n of expected) wanted[n] = found.get(parameters.get(n.slice(prefix.length + 1))!)!;
          const step = await engine.compile(graph, wanted);
          const results = await step.run(feeds);
          await step.release();
          for (const n of [...outputs.keys(), ...expected]) {
            const { data } = golden.get(`expected.${n}`);
            expectClose(results[n]!.data as Float32Array, data, tolerance[n]?.float32, n);
          }
        });
      }
    }
  },
);
