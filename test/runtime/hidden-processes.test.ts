/** Hidden lengths on real processes and sockets: answers, what the parties count and what the interpreter says to the same masks. */
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { compile } from '../../export/compile.ts';
import { BALANCED } from '../../export/make-plan.ts';
import { writeExport } from '../../export/provider.ts';
import { endAll, secureInfer } from '../support/processes.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';

const [SHORTEST, LONGEST] = [3, 12];

afterEach(endAll);

describe.each(['2quad', '2quad_centred'] as const)('%s', (softmax_act) => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hidden-processes-'));
    await mkdir(join(dir, 'tokenizer'));
    await writeFile(join(dir, 'tokenizer', 'vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
    const config = tinyConfig({ softmax_act, softmax_c: 3 });
    const random = new CounterRandom(1, 'texts');
    const encodings = Array.from({ length: 120 }, (_, i) => {
      const length = SHORTEST + (i % (LONGEST - SHORTEST + 1));
      const words = Array.from({ length: length - 2 }, () => 5 + random.int(TINY_VOCAB.length - 5));
      return { ids: [2, ...words, 3], types: new Array<number>(length).fill(0) };
    });
    const compiled = await compile({
      engine: createEngine({ threads: 1 }),
      config,
      tensors: tinyTensors(config),
      sample: { encodings, shortest: SHORTEST, longest: LONGEST },
      plan: { ...BALANCED, buckets: [8, LONGEST] },
    });
    await writeExport(join(dir, 'bundles'), compiled, { labels: config.labels, tokenizerDir: join(dir, 'tokenizer') });
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  it('two lengths of one bucket look alike on the wire, and every answer is the interpreter’s', async () => {
    const file = join(dir, 'texts.txt');
    // 3, 8 and 9 tokens with [CLS] and [SEP]
    await writeFile(file, 'good\nthe plot and the film fine\nthe plot and the film very fine\n');
    const run = ['--file', file, '--seed', 'h', '--transcript', join(dir, 'transcript'), '--json'];
    const asked = await secureInfer('local', join(dir, 'bundles'), ...run);
    expect(asked.code, asked.err).toBe(0);
    const lines = asked.out.trimEnd().split('\n').map((line) => JSON.parse(line) as { sentBytes: number; rounds: number }); // prettier-ignore
    expect(lines.map((line) => line.rounds)).toEqual(new Array<number>(3).fill(16 * 2 + 7));
    expect(lines[0]!.sentBytes).toBe(lines[1]!.sentBytes);
    expect(lines[0]!.sentBytes).toBeLessThan(lines[2]!.sentBytes);
    const opened = async (text: number): Promise<[string, number][]> =>
      (await readFile(join(dir, 'transcript', `text-0000${text}`, 'party0.jsonl'), 'utf8'))
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { gate: string; words: number })
        .map(({ gate, words }) => [gate, words]);
    expect(await opened(0)).toEqual(await opened(1));
    expect(await opened(0)).not.toEqual(await opened(2));
    const repeated = await secureInfer('interpret', join(dir, 'bundles'), ...run);
    expect(repeated.code, repeated.err).toBe(0);
    for (const line of repeated.out.trimEnd().split('\n')) expect(JSON.parse(line)).toMatchObject({ identical: true });
  }, 60_000);
});
