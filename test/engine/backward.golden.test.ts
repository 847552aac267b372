import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { int64, float32, type Feeds } from '../../engine/engine.ts';
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
  square,
  sub,
  sum,
  type Node,
} from '../../engine/graph/index.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders, GOLDEN_DIR } from '../support/golden.ts';
import { ENGINES } from '../support/engines.ts';

interface BackwardJson extends CaseJson {
  readonly loss: string;
  readonly parameters_without_gradient: readonly string[];
}

/** Distillation losses belong to the trainer; their cases are held in its tests. */
const DISTILLATION = /^stage[- ](one|two)/;

interface Loss {
  build(graph: Graph, logits: Node): Node;
  feeds(golden: GoldenCase<BackwardJson>): Feeds;
}
const LOSSES: readonly (readonly [RegExp, Loss])[] = [
  [
    /^cross-entropy/,
    {
      build: (graph, logits) => {
        const labels = graph.input('labels', 'int64', ['B']);
        const chosen = cast(equal(reshape(labels, ['B', 1]), arange(logits, logits.shape[1]!)), 'float32');
        return neg(mean(sum(mul(logSoftmax(logits), chosen), [1])));
      },
      feeds: (golden) => {
        const { shape, data } = golden.get('input.labels');
        return { labels: int64(shape, [...data]) };
      },
    },
  ],
  [
    /^mean squared error/,
    {
      build: (graph, logits) => mean(square(sub(reshape(logits, ['B']), graph.input('labels', 'float32', ['B'])))),
      feeds: (golden) => {
        const { shape, data } = golden.get('input.labels');
        return { labels: float32(shape, [...data]) };
      },
    },
  ],
];

describe.each(ENGINES)('gradients on $name agree with PyTorch in float64', (engine) => {
  const folders = caseFolders('02_backward');
  it.runIf(GOLDEN_DIR !== undefined)('has cases', () => expect(folders.length).toBeGreaterThan(0));
  for (const folder of folders) {
    const name = basename(folder);
    if (DISTILLATION.test(name)) continue;
    it(name, async () => {
      const golden = await GoldenCase.read<BackwardJson>(folder);
      const { json } = golden;
      const loss = LOSSES.find(([pattern]) => pattern.test(json.loss))?.[1];
      if (loss === undefined) throw new Error(`unknown loss ${json.loss}`);
      const weights = golden.weights('weight.');
      const batch = golden.batch();

      // As Hugging Face trains (no gradient for the padding word), and with the plain derivative; the last layer whole, and
      // as far as the logits read it.
      for (const [prefix, variant] of [
        ['grad', { paddingId: 0 }],
        ['grad_full', {}],
        ['grad', { paddingId: 0, firstTokenOnly: true }],
        ['grad_full', { firstTokenOnly: true }],
      ] as const) {
        const graph = new Graph();
        const parameter = (parameterName: string): Node =>
          graph.parameter(parameterName, weights.get(parameterName)!.shape);
        const { logits } = bertGraph(caseConfig(json), { graph, parameter, ...variant });
        const value = loss.build(graph, logits);
        const all = [...weights.keys()];
        const gradient = gradients(value, all.map(parameter));
        expect(all.filter((n) => !gradient.has(parameter(n)))).toEqual(json.parameters_without_gradient);
        const expected = golden.names
          .filter((n) => n.startsWith(`expected.${prefix}.`))
          .map((n) => n.slice(`expected.${prefix}.`.length));
        expect(expected.length).toBeGreaterThan(0);
        if (prefix === 'grad') expect(expected.length).toBe(all.length - json.parameters_without_gradient.length);

        const outputs: Record<string, Node> = { loss: value };
        for (const n of expected) outputs[`grad:${n}`] = gradient.get(parameter(n))!;
        const executable = await engine.compile(graph, outputs, engine.createState(weights));
        const results = await executable.run({ ...bertFeeds(batch), ...loss.feeds(golden) });
        await executable.release();
        expectClose(
          results['loss']!.data as Float32Array,
          golden.get('expected.loss').data,
          json.tolerance['loss']?.float32,
          'loss',
        );
        for (const n of expected) {
          const tolerance = json.tolerance[`${prefix}.${n}`]?.float32;
          const { shape, data } = golden.get(`expected.${prefix}.${n}`);
          const actual = results[`grad:${n}`]!;
          expect(actual.shape, n).toEqual(shape);
          expectClose(actual.data as Float32Array, data, tolerance, `${prefix}.${n}`);
        }
      }
    });
  }
});
