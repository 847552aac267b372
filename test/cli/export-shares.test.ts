import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runRecordJson, saveModel } from '../../checkpoints/index.ts';
import { addExport } from '../../cli/export-shares/command.ts';
import { fitName } from '../../cli/export-shares/names.ts';
import { InputError, RefusedError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { readBundle, ROLES } from '../../export/bundle.ts';
import { fixedPredict } from '../../export/clear.ts';
import type { Measured } from '../../export/bundle/format.ts';
import { PLANS } from '../../export/plans.ts';
import { floatLogits } from '../../export/random-model.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { loadProvider } from '../../export/provider.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { inProcess } from '../support/in-process.ts';
import { studentRecord } from '../support/run-records.ts';

let dir: string;
const at = (name: string): string => join(dir, name);

const command = (...args: string[]): Promise<string> => inProcess([addExport], args);

async function model(name: string, change: Record<string, unknown>): Promise<void> {
  const config = tinyConfig(change);
  await saveModel(at(name), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'export-shares-'));
  mkdirSync(at('tokenizer'));
  writeFileSync(at('tokenizer/vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
  await model('student', { softmax_act: '2quad_centred', softmax_c: 3 });
  await model('plain', { softmax_act: '2quad', softmax_c: 3 });
  await model('teacher', {});
  await model('relu', { softmax_act: '2quad', hidden_act: 'relu' });
  const random = new CounterRandom(1, 'texts');
  const words = TINY_VOCAB.slice(5);
  const text = (): string =>
    Array.from({ length: 1 + random.int(10) }, () => words[random.int(words.length)]).join(' ');
  writeFileSync(at('texts.txt'), `${Array.from({ length: 200 }, text).join('\n')}\n`);
});
afterAll(() => rmSync(dir, { recursive: true }));

const base = (name: string, out: string): string[] => [at(name), '--calibrate', at('texts.txt'), '--out', at(out), '--threads', '1', '--quiet']; // prettier-ignore

describe('export-shares', () => {
  it('writes five bundles, says what they cost, and they answer', async () => {
    const result = JSON.parse(await command(...base('student', 'out'), '--calibrate-size', '100', '--cost-length', '9', '--json')) as Record<string, unknown>; // prettier-ignore
    expect(result).toMatchObject({ command: 'export-shares', out: at('out'), plan: 'balanced', shortest: 3, longest: 12, labels: ['negative', 'positive'] }); // prettier-ignore
    expect(result['cost']).toMatchObject({ tokens: 9, rounds: 15 * 2 + 7 });
    for (const role of ROLES) {
      const { manifest } = await readBundle(join(at('out'), role), role);
      expect(manifest).toMatchObject({ modelId: result['modelId'], exportDigest: result['exportDigest'], task: 'classification', minLength: 3, maxLength: 12 }); // prettier-ignore
    }
    for (const role of ROLES) {
      const { manifest } = await readBundle(join(at('out'), role), role);
      const told = role === 'provider' || role === 'client';
      expect([role, manifest.plan, manifest.measured]).toEqual([role, told ? 'balanced' : undefined, told ? result['measured'] : undefined]); // prettier-ignore
    }
    expect(result['measured']).toMatchObject({ texts: 32, refused: 0 });
    const provider = await loadProvider(join(at('out'), 'provider'));
    const [logits] = fixedPredict(provider.program, provider.integers, [{ ids: [2, 5, 8, 3], types: [0, 0, 0, 0] }]);
    expect(logits).toHaveLength(2);
  });

  it.each(['plain', 'student'])(
    '--hide-length of the student %s: buckets for every role, costs of the bucket, the error measured',
    async (student) => {
      const out = `hidden-${student}`;
      const hide = ['--calibrate-size', '60', '--cost-length', '5', '--json', '--hide-length'];
      const result = JSON.parse(await command(...base(student, out), ...hide, '8,12')) as Record<string, unknown>;
      expect(result).toMatchObject({ buckets: [8, 12], longest: 12, measured: { refused: 0 }, cost: { tokens: 8, rounds: 16 * 2 + 7 } }); // prettier-ignore
      const { maxError } = result['measured'] as { maxError: number };
      expect(maxError).toBeGreaterThan(0);
      expect(maxError).toBeLessThan(0.02);
      const { client } = await readBundle(join(at(out), 'client'), 'client');
      expect(client.padding?.buckets).toEqual([8, 12]);
      expect(client.padding?.gate).toBe(0);
    },
  );

  it('--hide-length: refuses buckets above the positions of the model, and such as do not ascend', async () => {
    const hide = ['--calibrate-size', '60', '--json', '--hide-length'];
    await expect(command(...base('plain', 'never'), ...hide, '8,17')).rejects.toThrow(InputError);
    await expect(command(...base('plain', 'never'), ...hide, '12,8')).rejects.toThrow(/ascending/);
    expect(existsSync(at('never'))).toBe(false);
  });

  it.each(Object.keys(PLANS))(
    'plan %s: what its manifest says of its error is the error of its provider’s program',
    async (plan) => {
      const out = `plan-${plan}`;
      const result = JSON.parse(await command(...base('student', out), '--calibrate-size', '60', '--plan', plan, '--json')) as { measured: Measured }; // prettier-ignore
      const { program, integers, plan: scales } = await loadProvider(join(at(out), 'provider'));
      expect([scales.fx, scales.fw, scales.fz]).toEqual({ compact: [9, 11, 19], balanced: [10, 12, 21], precise: [11, 13, 23] }[plan]); // prettier-ignore
      const { maxError, meanError, labelsEqual, texts } = result.measured;
      expect(meanError).toBeGreaterThan(0);
      expect(meanError).toBeLessThanOrEqual(maxError);
      // the specification's tolerance for balanced; a bit less, a bit more
      expect(maxError).toBeLessThan({ compact: 0.04, balanced: 0.02, precise: 0.01 }[plan]!);
      expect(labelsEqual).toBeLessThanOrEqual(texts);
      // another tape, other texts: the same order of error
      const config = tinyConfig({ softmax_act: '2quad_centred', softmax_c: 3 });
      const asked = [4, 7, 9, 12].map((n) => ({ ids: [2, ...Array.from({ length: n - 2 }, (_, i) => 5 + ((3 * i + n) % 12)), 3], types: new Array<number>(n).fill(0) })); // prettier-ignore
      const float = await floatLogits(createEngine({ threads: 1 }), config, tinyTensors(config), asked);
      fixedPredict(program, integers, asked, { seed: 'another' }).forEach((logits, i) => {
        if (logits instanceof Error) throw logits;
        logits.forEach((v, j) => expect(Math.abs(v - float[i]![j]!)).toBeLessThan(3 * maxError));
      });
    },
  );

  it('prints a table', async () => {
    const out = await command(...base('student', 'table'), '--calibrate-size', '50');
    expect(out).toMatch(
      /on 32 calibrated texts: logits off by 0\.\d{4} at most, 0\.\d{4} on average, \d+ of 32 labels equal/,
    );
    for (const word of ['gate', 'opened', 'dealt', 'fourier', '37 rounds', '3 to 12 tokens'])
      expect(out).toContain(word);
    expect(out).not.toContain('D.inv');
    const wires = await command(...base('student', 'wires'), '--calibrate-size', '50', '--gates');
    for (const word of ['wire', 'gelu', 'D.inv', '37 rounds']) expect(wires).toContain(word);
  });

  it('cuts at the length the student was trained at, and says how many', async () => {
    const trained = at('trained');
    cpSync(at('student'), trained, { recursive: true });
    writeFileSync(join(trained, 'run.json'), runRecordJson(studentRecord(1, { config: { recipe: { maxLength: 9 } } })));
    const longer = readFileSync(at('texts.txt'), 'utf8').trimEnd().split('\n').filter((text) => text.split(' ').length > 7).length; // prettier-ignore
    expect(longer).toBeGreaterThan(0);
    const args = [trained, '--calibrate', at('texts.txt'), '--threads', '1', '--calibrate-size', '50', '--json'];
    let said = '';
    const run = async (out: string, ...more: string[]): Promise<unknown> => JSON.parse(await inProcess([addExport], [...args, '--out', at(out), ...more], (text) => (said += text))); // prettier-ignore
    expect(await run('cut')).toMatchObject({ longest: 9, truncated: longer });
    expect(said.split('\n').filter((line) => /cut to/.test(line))).toEqual([`${at('texts.txt')}: ${longer} of 200 texts cut to 9 tokens`]); // prettier-ignore
    // progress in words: the LayerNorms and denominators of layers, not names of wires
    expect(said).not.toMatch(/· (emb|\d\.\w+)$/m);
    said = '';
    const whole = (await run('uncut', '--max-length', '12')) as object;
    expect(whole).toMatchObject({ longest: 12 });
    expect(whole).not.toHaveProperty('truncated');
    expect(said).not.toContain('cut to');
    const bundle = await readBundle(join(at('cut'), 'client'), 'client');
    expect(bundle.manifest).toMatchObject({ maxLength: 9, pairs: false });
    expect((await readBundle(join(at('cut'), 'party0'), 'party0')).manifest).not.toHaveProperty('pairs');
  });

  it.each([
    ['emb', 'embedding, LayerNorm'],
    ['0.D', 'layer 0, denominators'],
    ['11.D.inv', 'layer 11, denominators'],
    ['3.ln2', 'layer 3, LayerNorm after feed-forward'],
    ['1.gelu', 'layer 1, GeLU'],
    ['1.gelu2', 'layer 1, GeLU (group 2)'],
    ['tanh', 'pooler, tanh'],
  ])('calls the fit of %s %s', (wire, name) => expect(fitName(wire)).toBe(name));

  it.each([
    ['a softmax model', 'teacher', [], RefusedError, /softmax_act softmax/],
    ['a ReLU model', 'relu', [], RefusedError, /hidden_act relu/],
    ['an unknown plan', 'student', ['--plan', 'tiny'], InputError, /no such plan/],
    ['more tokens than positions', 'student', ['--max-length', '17'], InputError, /16 positions/],
    ['more tokens than calibrated', 'student', ['--max-length', '14'], RefusedError, /longest text has 12 tokens/],
    ['a column of plain text', 'student', ['--text-column', 'x'], InputError, /column/],
    ['a bad number', 'student', ['--calibrate-size', '0'], InputError, /--calibrate-size/],
  ] as const)('refuses %s, writing nothing', async (_, name, args, kind, message) => {
    const failure = await command(...base(name, 'refused'), ...args).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(kind);
    expect((failure as Error).message).toMatch(message);
    expect((failure as RefusedError).hint).not.toBe('');
    expect(existsSync(at('refused'))).toBe(false);
  });

  it('refuses an existing folder unless told to replace it', async () => {
    await command(...base('student', 'again'), '--calibrate-size', '50');
    const first = (await readBundle(at('again/client'), 'client')).manifest.modelId;
    await expect(command(...base('student', 'again'))).rejects.toThrow('exists already');
    await command(...base('student', 'again'), '--calibrate-size', '50', '--overwrite');
    expect((await readBundle(at('again/client'), 'client')).manifest.modelId).not.toBe(first);
  });
});
