/**
 * Inputs that no calibration has seen: random tokens, one token repeated, special tokens, a text whose denominators outgrow a
 * narrow margin. Each is answered near the float model or refused, never wrongly in silence.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../checkpoints/index.ts';
import { CounterRandom } from '../../common/random.ts';
import type { Encoding } from '../../data/tokenizer.ts';
import { readExamples } from '../../data/read.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { sample } from '../../export/calibrate.ts';
import { fixedPredict, integersOf } from '../../export/clear.ts';
import { compile } from '../../export/compile.ts';
import { BALANCED } from '../../export/plans.ts';
import { floatLogits } from '../../export/random-model.ts';
import { DATA_DIR } from '../support/golden.ts';

/** What the suite's answers may be off by at most, in range or not. */
const LOGITS = 0.1;
const EACH = 6;
const LONGEST = 40;
/** Sentence 334 of SST-2 dev: with margin 1.3 on denominators it left their interval unnoticed before there were guards. */
const KNOWN = 334;

const dir = DATA_DIR === undefined ? '' : join(DATA_DIR, 'sst2_student');
const glue = DATA_DIR === undefined ? '' : join(DATA_DIR, 'glue', 'SST-2');

describe.runIf(existsSync(dir) && existsSync(glue))('sst2_student with a margin of 1.3 on denominators', () => {
  it('answers within 0.1 of float or refuses, whatever it is asked', async () => {
    const model = await loadModel(dir);
    const tokenizer = await loadTokenizer(model.tokenizerDir);
    const read = async (file: string): Promise<Encoding[]> =>
      (await readExamples(join(glue, file), {})).examples.map((e) => tokenizer.encode(e.text, undefined, {}));
    const engine = createEngine({ threads: 2 });
    const { program, tensors } = await compile({
      engine,
      config: model.config,
      tensors: model.tensors,
      sample: sample(await read('train.tsv'), 600, 1),
      plan: { ...BALANCED, marD: 1.3 },
    });
    const random = new CounterRandom(1, 'search');
    const [start, end] = tokenizer.encode('', undefined, {}).ids as [number, number];
    const text = (body: number[]): Encoding => ({ ids: [start, ...body, end], types: [0, ...body.map(() => 0), 0] });
    const length = (): number => 1 + random.int(LONGEST - 2);
    const kinds: Record<string, () => Encoding> = {
      'random tokens': () => text(Array.from({ length: length() }, () => random.int(program.vocab))),
      'one token repeated': () => text(new Array<number>(length()).fill(random.int(program.vocab))),
      'special and unused tokens': () => text(Array.from({ length: length() }, () => random.int(104))),
    };
    const asked = Object.entries(kinds).flatMap(([kind, make]) =>
      Array.from({ length: EACH }, () => ({ kind, text: make() })),
    );
    asked.push({ kind: `dev ${KNOWN}`, text: (await read('dev.tsv'))[KNOWN]! });
    const fixed = fixedPredict(program, integersOf(program, tensors), asked.map((a) => a.text), { tokens: 1 }); // prettier-ignore
    let refused = 0;
    for (const [i, { kind, text: asking }] of asked.entries()) {
      const answer = fixed[i]!;
      if (answer instanceof Error) {
        expect(answer.message).toMatch(/guard|ext/);
        refused++;
        continue;
      }
      const [float] = await floatLogits(engine, model.config, model.tensors, [asking]);
      answer.forEach((v, j) => expect(Math.abs(v - float![j]!), `${kind} ${i}`).toBeLessThan(LOGITS));
    }
    process.stdout.write(`search: ${refused} of ${asked.length} texts refused\n`);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(asked.length);
  }, 600_000);
});
