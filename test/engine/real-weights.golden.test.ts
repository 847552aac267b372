import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensors, sha256File, type Tensor } from '../../checkpoints/index.ts';
import { bertFeeds, bertGraph } from '../../engine/bert.ts';
import { Graph, type Node } from '../../engine/graph/index.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { caseConfig, expectClose, GoldenCase, type CaseJson } from '../support/golden-case.ts';
import { caseFolders, DATA_DIR } from '../support/golden.ts';

interface RealJson extends CaseJson {
  readonly model_safetensors_sha256: string;
}

/** The weight file in DATA_DIR with this digest. */
async function findWeights(sha256: string): Promise<Map<string, Tensor>> {
  for (const folder of readdirSync(DATA_DIR!, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    const path = join(DATA_DIR!, folder.name);
    if (!readdirSync(path).includes('model.safetensors')) continue;
    const file = join(path, 'model.safetensors');
    if ((await sha256File(file)) !== sha256) continue;
    const { tensors } = await readSafetensors(file);
    return new Map(
      [...tensors].flatMap(([name, { shape, data }]) =>
        data instanceof Float32Array
          ? [[name.startsWith('bert.') ? name : `bert.${name}`, { shape, data }] as const]
          : [],
      ),
    );
  }
  throw new Error(`no model.safetensors in ${DATA_DIR!} has SHA-256 ${sha256}`);
}

const row = (data: Float32Array, index: number, width: number): Float32Array =>
  data.subarray(index * width, (index + 1) * width);

describe.runIf(DATA_DIR !== undefined)('real weights agree with PyTorch in float64', () => {
  const engine = createEngine({ threads: 2 });

  for (const folder of caseFolders('06_real_weights')) {
    it(basename(folder), async () => {
      const golden = await GoldenCase.read<RealJson>(folder);
      const { json } = golden;
      const weights = await findWeights(json.model_safetensors_sha256);
      const config = caseConfig(json);
      const { hidden_size: h, num_hidden_layers: layers, num_attention_heads: heads } = config;
      // The files have no classifier; the case looks at the encoder and the pooler only.
      weights.set('classifier.weight', {
        shape: [config.num_labels, h],
        data: new Float32Array(config.num_labels * h),
      });
      weights.set('classifier.bias', { shape: [config.num_labels], data: new Float32Array(config.num_labels) });
      const graph = new Graph();
      const { ops } = bertGraph(config, {
        graph,
        parameter: (name) => graph.parameter(name, weights.get(name)!.shape),
      });
      const outputs: Record<string, Node> = { pooled: ops.probes.get('pooled')! };
      for (let l = 0; l <= layers; l++) outputs[`hidden.${l}`] = ops.probes.get(`hidden.${l}`)!;
      for (let l = 0; l < layers; l++) outputs[`scores.${l}`] = ops.probes.get(`scores.${l}`)!;
      const executable = await engine.compile(graph, outputs, engine.createState(weights));
      const batch = golden.batch();
      const results = await executable.run(bertFeeds(batch));
      await executable.release();

      const values = (name: string): Float32Array => results[name]!.data as Float32Array;
      const firstTokens = (l: number): Float32Array =>
        Float32Array.from(
          Array.from({ length: batch.batch }, (_, b) => [...row(values(`hidden.${l}`), b * batch.length, h)]).flat(),
        );
      const computed = new Map<string, ArrayLike<number>>([
        ['pooled', values('pooled')],
        ['last_cls', firstTokens(layers)],
        [
          'first_scores',
          Array.from({ length: batch.batch }, (_, b) => [
            ...row(values('scores.0'), b * heads, batch.length ** 2),
          ]).flat(),
        ],
        [
          'largest_score',
          Array.from({ length: layers }, (_, l) => values(`scores.${l}`).reduce((a, s) => Math.max(a, Math.abs(s)), 0)),
        ],
        ['mean_pooled', meanPooled(values(`hidden.${layers}`), batch, h)],
      ]);
      for (let l = 0; l <= layers; l++) computed.set(`cls.${l}`, firstTokens(l));

      const expected = golden.names.filter((n) => n.startsWith('expected.')).map((n) => n.slice('expected.'.length));
      for (const name of expected) {
        const actual = computed.get(name);
        expect(actual, `${name} is computed here`).toBeDefined();
        expectClose(actual!, golden.get(`expected.${name}`).data, json.tolerance[name]?.float32, name);
      }
    });
  }
});

/** Mean of the rows of real tokens, (B, H). */
function meanPooled(
  hidden: Float32Array,
  { batch, length, mask }: { batch: number; length: number; mask: Int32Array },
  h: number,
): Float64Array {
  const out = new Float64Array(batch * h);
  for (let b = 0; b < batch; b++) {
    const real = mask.subarray(b * length, (b + 1) * length).reduce((a, m) => a + m, 0);
    for (let l = 0; l < length; l++) {
      if (mask[b * length + l] === 0) continue;
      const values = row(hidden, b * length + l, h);
      for (let i = 0; i < h; i++) out[b * h + i]! += values[i]! / real;
    }
  }
  return out;
}
