import { basename } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import type { TensorData } from '../../engine/engine.ts';
import type { Node } from '../../engine/graph/index.ts';
import { Graph } from '../../engine/graph/index.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders, GOLDEN_DIR } from '../support/golden.ts';
import { ENGINES } from '../support/engines.ts';

describe.each(ENGINES)('forward pass on $name agrees with PyTorch in float64', (engine) => {
  const folders = caseFolders('01_forward');
  it.runIf(GOLDEN_DIR !== undefined)('has cases', () => expect(folders.length).toBeGreaterThan(0));
  for (const folder of folders) {
    it(basename(folder), async () => {
      const golden = await GoldenCase.read<CaseJson>(folder);
      const { json } = golden;
      const graph = new Graph();
      const weights = golden.weights('weight.');
      const parameter = (name: string): Node => graph.parameter(name, weights.get(name)!.shape);
      const { ops } = bertGraph(caseConfig(json), { graph, parameter });
      const expected = golden.names.filter((n) => n.startsWith('expected.')).map((n) => n.slice('expected.'.length));
      expect(expected).toContain('logits');
      const outputs: Record<string, Node> = {};
      for (const name of expected) outputs[`out:${name}`] = ops.probes.get(name)!;
      const short = bertGraph(caseConfig(json), { graph, parameter, firstTokenOnly: true });
      expect(short.logits).not.toBe(ops.probes.get('logits'));
      outputs['short'] = short.logits;
      const executable = await engine.compile(graph, outputs, engine.createState(weights));
      const results = await executable.run(bertFeeds(golden.batch()));
      await executable.release();
      const check = (actual: TensorData, name: string): void => {
        const { shape, data } = golden.get(`expected.${name}`);
        expect(actual.shape, name).toEqual(shape);
        expectClose(actual.data as Float32Array, data, json.tolerance[name]?.float32, name);
      };
      for (const name of expected) check(results[`out:${name}`]!, name);
      check(results['short']!, 'logits');
    });
  }
});
