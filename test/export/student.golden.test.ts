/** A student trained by PyTorch: exported here, its fixed-point logits against PyTorch's float64 ones. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../checkpoints/index.ts';
import { readExamples } from '../../data/read.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { sample } from '../../export/calibrate.ts';
import { fixedPredict, integersOf } from '../../export/clear.ts';
import { compile } from '../../export/compile.ts';
import { DATA_DIR } from '../support/golden.ts';

interface Golden {
  readonly rows: readonly { readonly text: string; readonly tokens: number; readonly logits: readonly number[] }[];
}

const dir = DATA_DIR === undefined ? '' : join(DATA_DIR, 'sst2_student');
const calibration = DATA_DIR === undefined ? '' : join(DATA_DIR, 'glue', 'SST-2', 'train.tsv');

describe.runIf(existsSync(dir) && existsSync(calibration))('sst2_student', () => {
  it('fixed point is within 0.1 of float64 at most and 0.01 on average', async () => {
    const model = await loadModel(dir);
    const tokenizer = await loadTokenizer(model.tokenizerDir);
    const { rows } = JSON.parse(await readFile(join(dir, 'golden.json'), 'utf8')) as Golden;
    const texts = (await readExamples(calibration, {})).examples;
    const encodings = texts.map((e) => tokenizer.encode(e.text, undefined, {}));
    const { program, tensors } = await compile({
      engine: createEngine({ threads: 2 }),
      config: model.config,
      tensors: model.tensors,
      sample: sample(encodings, 1000, 1),
    });
    const inputs = rows.map((row) => tokenizer.encode(row.text, undefined, {}));
    expect(inputs.map((e) => e.ids.length)).toEqual(rows.map((row) => row.tokens));
    const errors: number[] = [];
    fixedPredict(program, integersOf(program, tensors), inputs).forEach((logits, i) => {
      if (logits instanceof Error) throw logits;
      errors.push(...rows[i]!.logits.map((v, j) => Math.abs(logits[j]! - v)));
    });
    const mean = errors.reduce((a, b) => a + b, 0) / errors.length;
    process.stdout.write(`sst2_student: ${rows.length} texts, max ${Math.max(...errors)}, mean ${mean}\n`);
    expect(Math.max(...errors)).toBeLessThan(0.1);
    expect(mean).toBeLessThan(0.01);
  }, 300_000);
});
