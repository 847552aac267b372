import { InferenceSession, Tensor } from 'onnxruntime-node';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveModel } from '../../checkpoints/index.ts';
import { addOnnx } from '../../cli/train-distill/onnx.ts';
import { InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { predict } from '../../train/predict.ts';
import { onnxruntime } from '../support/engines.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { inProcess } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'onnx-'));
  mkdirSync(at('tokenizer'));
  writeFileSync(at('tokenizer/vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
});
afterAll(() => rmSync(dir, { recursive: true }));

/** The command in this process: what it printed. */
const onnx = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await inProcess([addOnnx], ['onnx', ...args, '--json'])) as Record<string, unknown>;

describe('train-distill onnx', () => {
  it('needs no tokenizer, and says when there is no such folder', async () => {
    const config = tinyConfig();
    await saveModel(at('bare'), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
    rmSync(at('bare', 'vocab.txt'));
    expect(await onnx(at('bare'), '--out', at('bare.onnx'))).toMatchObject({ out: at('bare.onnx') });
    await expect(onnx(at('nope'), '--out', at('x.onnx'))).rejects.toThrow(`${at('nope')}: no such folder`);
  });

  it.each([
    ['softmax', 'gelu'],
    ['2quad', 'gelu_new'],
    ['2quad_centred', 'quad'],
    ['2relu', 'relu'],
  ])('%s, %s: the file alone gives the same logits, whatever batch and length', async (softmax_act, hidden_act) => {
    const config = tinyConfig({ softmax_act, hidden_act });
    const tensors = tinyTensors(config);
    await saveModel(at(softmax_act), { config, tensors, tokenizerDir: at('tokenizer'), dtype: 'F32' });
    const file = at(`${softmax_act}.onnx`);
    const printed = await onnx(at(softmax_act), '--out', file);
    expect(printed).toMatchObject({ command: 'onnx', out: file, bytes: readFileSync(file).length });

    const session = await InferenceSession.create(file);
    expect(session.inputNames.toSorted()).toEqual(['attention_mask', 'input_ids', 'token_type_ids']);
    expect(session.outputNames).toEqual(['logits']);
    expect(session.inputMetadata[0]).toMatchObject({ type: 'int64', shape: ['batch_size', 'sequence_length'] });
    for (const [batch, length] of [
      [1, 3],
      [4, 16],
    ] as const) {
      const random = new CounterRandom(4, batch, length);
      const texts = Array.from({ length: batch }, (_, i) => {
        const real = i === 0 ? length : 2 + random.int(length - 2);
        const ids = Array.from({ length: real }, () => 1 + random.int(16));
        return { ids, types: ids.map(() => random.int(2)) };
      });
      const expected = await predict({ config, tensors }, texts, onnxruntime);
      const padded = (of: (text: { ids: number[]; types: number[] }) => number[]): Tensor => {
        const rows = texts.flatMap((t) => Array.from({ length }, (_, i) => BigInt(of(t)[i] ?? 0)));
        return new Tensor('int64', BigInt64Array.from(rows), [batch, length]);
      };
      const { logits } = await session.run({
        input_ids: padded((t) => t.ids),
        attention_mask: padded((t) => t.ids.map(() => 1)),
        token_type_ids: padded((t) => t.types),
      });
      expect(logits!.dims).toEqual([batch, 2]);
      const actual = logits!.data as Float32Array;
      // Other fusions round elsewhere: some hundred roundings of numbers of this size.
      expected.forEach((row, i) =>
        row.forEach((z, c) =>
          expect(Math.abs(actual[2 * i + c]! - z)).toBeLessThan(2 ** -24 * 300 * Math.max(1, Math.abs(z))),
        ),
      );
    }
    await session.release();
  });

  it('uses standard ops alone', async () => {
    expect(readFileSync(at('softmax.onnx')).includes('com.microsoft')).toBe(false);
  });

  it('leaves nothing behind where the model cannot be read', async () => {
    await expect(onnx(at('absent'), '--out', at('absent.onnx'))).rejects.toThrow(InputError);
    expect(existsSync(at('absent.onnx'))).toBe(false);
  });
});
