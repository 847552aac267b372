/** The results of a small list of rows, by the real commands (`dist/` must be built, as `npm test` does), and their page. */
import { appendFileSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addResultsBench } from '../../bench/results.ts';
import { appendLine, latest, readLines, type Line, type ModelLine } from '../../bench/results/lines.ts';
import { render } from '../../bench/results/render.ts';
import { readRows, runsOf, type Variant } from '../../bench/results/rows.ts';
import { bySet, records } from '../../bench/results/speed.ts';
import { saveModel } from '../../checkpoints/index.ts';
import { packageFile } from '../../cli/ui/package.ts';
import { InputError } from '../../common/errors.ts';
import { CounterRandom } from '../../common/random.ts';
import { TINY_VOCAB, tinyConfig, tinyTensors } from '../support/tiny-model.ts';
import { inProcess } from '../support/in-process.ts';

let dir: string;
const at = (...names: string[]): string => join(dir, ...names);
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'results-'));
});
afterAll(() => rmSync(dir, { recursive: true }));

const bench = (...args: string[]): Promise<string> => inProcess([addResultsBench], ['results', ...args]);

const MACHINE = { processor: 'abacus', cores: 2, memoryGiB: 4, node: 'v20.0.0', kernels: 'wasm' };

function modelLine(
  task: string,
  variant: Variant,
  score: number,
  seed = 1,
  run = '2025-01-01T00:00:00.000Z',
): ModelLine {
  // prettier-ignore
  const names = { mrpc: ['f1', 'accuracy'], 'sts-b': ['pearson', 'spearman'], cola: ['matthews'] }[task] ?? ['accuracy']; // prettier-ignore
  return {
    ...{
      kind: 'model',
      task,
      variant,
      seed,
      run,
      command: 'npx train-distill',
      recipe: 'r',
      split: 'dev',
      examples: 9,
    },
    ...(variant === 'teacher' ? {} : { preset: 'secformer' }),
    metrics: Object.fromEntries(names.map((name) => [name, score])),
    ...{ score, seconds: 60, threads: 2, machine: MACHINE },
  };
}

const TEACHERS = ['sst-2', 'mrpc', 'cola', 'sts-b', 'polarity'].map((task) => ({ task }));
function rowsFile(name: string, content: unknown): string {
  writeFileSync(at(name), JSON.stringify(content));
  return at(name);
}

describe('the page', () => {
  const students = TEACHERS.map(({ task }) => ({
    task,
    preset: 'secformer',
    seeds: task === 'mrpc' ? [1, 2] : [1],
  }));

  it('takes the mean over seeds first, then over the five tasks, and names what is not run', async () => {
    const runs = runsOf(await readRows(rowsFile('five.json', { teachers: TEACHERS, students })), { threads: 2, tokenizer: false }); // prettier-ignore
    const lines: Line[] = TEACHERS.map(({ task }) => modelLine(task, 'teacher', 0.9));
    // −1, −1, −1, −1 and MRPC with −1 and −6: the mean of its seeds is −3.5, that of the tasks −1.5.
    for (const { task } of TEACHERS) lines.push(modelLine(task, 'student', 0.89));
    expect(render(runs, lines)).toContain('**−1.00 points** over 5 of the five tasks (not run in full: mrpc)');
    lines.push(modelLine('mrpc', 'student', 0.84, 2));
    const page = render(runs, lines);
    expect(page).toContain('`secformer`: **−1.50 points** over the five tasks');
    expect(page).toContain(
      '| mrpc | F1 / accuracy | `secformer` | 2 | 90.00 / 90.00 | not run | not run | 84.00 / 84.00 | −6.00 | 60.0 s | 2 | A | r |',
    );
    expect(page).toContain('- **A**: abacus, 2 cores allowed, 4 GiB, Node 20.0.0, ring kernels wasm');
    // The commands of runs that are missing are those that make them.
    expect(page).toContain(
      '| mrpc | swapped secformer | not run |  | `npx train-distill student --teacher $RUNS/mrpc/teacher --task mrpc --glue $GLUE --preset secformer --swap-only --seed 1 --threads 2 --out $RUNS/mrpc/secformer/swapped` |',
    );
    expect(render(runs, [])).toContain('- `secformer`: not run');
  });

  it('keeps rows of one preset apart by their names', async () => {
    const rows = [{ task: 'mrpc', preset: 'secformer', seeds: [1] }, { task: 'mrpc', preset: 'secformer', name: 'long', seeds: [1], flags: ['--epochs', '9'] }]; // prettier-ignore
    const runs = runsOf(await readRows(rowsFile('named.json', { teachers: TEACHERS, students: rows })), { threads: 2, tokenizer: false }); // prettier-ignore
    const of = (variant: string): string[] => runs.filter((run) => run.variant === variant).map(({ folder }) => folder);
    expect(of('student')).toEqual(['$RUNS/mrpc/secformer/seed-1', '$RUNS/mrpc/long/seed-1']);
    expect([...of('swapped'), ...of('labels-only')]).toEqual(['$RUNS/mrpc/secformer/swapped', '$RUNS/mrpc/secformer/labels-only']); // prettier-ignore
    const lines = [modelLine('mrpc', 'teacher', 0.9), modelLine('mrpc', 'swapped', 0.5), modelLine('mrpc', 'student', 0.8)]; // prettier-ignore
    const page = render(runs, [...lines, { ...modelLine('mrpc', 'student', 0.85), name: 'long' }]);
    for (const row of [
      '`secformer` | 1 | 90.00 / 90.00 | 50.00 / 50.00 | not run | 80.00 / 80.00 | −10.00 |',
      '`secformer`, long | 1 | 90.00 / 90.00 | 50.00 / 50.00 | not run | 85.00 / 85.00 | −5.00 |',
    ])
      // prettier-ignore
      expect(page).toContain(row);
  });

  it('sets rows of a task side by side, seed by seed against the default preset', async () => {
    const row = (task: string, preset: string, seeds: number[], name?: string): object => ({ task, preset, seeds, ...(name === undefined ? {} : { name }) }); // prettier-ignore
    const list = { teachers: TEACHERS, students: [row('mrpc', 'secformer-centred', [1, 2]), row('cola', 'secformer-centred', [1]), row('mrpc', 'secformer-centred', [1], 'longer'), row('cola', 'secformer', [1])] }; // prettier-ignore
    const runs = runsOf(await readRows(rowsFile('side.json', list)), { threads: 2, tokenizer: false });
    const student = (task: string, score: number, seed: number, more: object): ModelLine => ({ ...modelLine(task, 'student', score, seed), ...more }); // prettier-ignore
    const centred = { preset: 'secformer-centred' };
    const lines = [
      ...[student('mrpc', 0.8, 1, centred), student('mrpc', 0.7, 2, centred), student('cola', 0.3, 1, centred)],
      ...[student('mrpc', 0.82, 1, { ...centred, name: 'longer' }), student('cola', 0.25, 1, {})],
    ];
    const page = render(runs, lines);
    expect(page).toContain('|  | mrpc | cola | against `secformer-centred` | tasks |');
    expect(page).toContain('| `secformer-centred` | 75.00 (2) | 30.00 |  |  |');
    // Seed 2 of the longer run is not there: it is compared by seed 1 alone.
    expect(page).toContain('| `secformer-centred`, longer | 82.00 |  | +2.00 | 1 |');
    expect(page).toContain('| `secformer` |  | 25.00 | −5.00 | 1 |');
    expect(render(runs, lines.slice(0, 3))).not.toContain('Side by side');
  });

  it('shows figures of the last training of a model only', async () => {
    const runs = runsOf(await readRows(rowsFile('one.json', { teachers: TEACHERS, students: students.slice(0, 1) })), { threads: 2, tokenizer: false }); // prettier-ignore
    const secured = (run: string): Line => {
      const { recipe: _r, command: _c, threads: _t, ...line } = modelLine('sst-2', 'student', 0.5, 1, run);
      return { ...line, kind: 'secured', path: 'clear', plan: 'balanced', commands: ['a', 'b', 'c'], withheld: 3, float: { accuracy: 0.75 }, maxLogitError: 0.5, meanLogitError: 0.25 }; // prettier-ignore
    };
    const [early, late] = ['2025-01-01T00:00:00.000Z', '2025-01-02T00:00:00.000Z'];
    const lines = [modelLine('sst-2', 'student', 0.7, 1, early), secured(early)];
    expect(render(runs, lines)).toContain(
      '| interpreter | balanced | 9 | 75.00 | 50.00 | – | 3 | 0.5000 | 0.2500 | 6.667 s |',
    );
    const page = render(runs, [...lines, modelLine('sst-2', 'student', 0.8, 1, late)]);
    expect(page).not.toContain('interpreter |');
    // Every row of a table has a cell for every column.
    for (const [table] of page.matchAll(/(?:^\|.*\n)+/gm))
      expect(
        new Set(
          table
            .trimEnd()
            .split('\n')
            .map((line) => line.split('|').length),
        ).size,
      ).toBe(1);
    expect(page).toMatch(/\| sst-2 \| `secformer` \| 1 \| not run \|/);
  });

  it('shows measurements as they were printed: one record, many, or many with what they share', () => {
    const record = (output: unknown): object[] => records(output).map((fields) => Object.fromEntries(fields));
    expect(record({ a: 1, peak: { b: 2 } })).toEqual([{ a: 1, 'peak.b': 2 }]);
    expect(record([{ a: 1 }, { a: 2 }])).toEqual([{ a: 1 }, { a: 2 }]);
    expect(record({ steps: [{ a: 1 }, { a: 2 }], peak: 3 })).toEqual([{ a: 1, peak: 3 }, { a: 2, peak: 3 }]); // prettier-ignore
  });
});

describe('figures of kernels', () => {
  const figure = (kernels: string, n: number, value: number): Map<string, unknown> =>
    new Map<string, unknown>(Object.entries({ kernels, what: 'matmul', n, size: '2x2x2', value, unit: 'MAC/s' }));

  it('stand side by side, one row for each kernel', () => {
    const rows = bySet([figure('avx2', 32, 5), figure('wasm', 32, 3), figure('wasm', 64, 1)])!;
    expect(rows.map((row) => Object.fromEntries(row))).toEqual([
      { what: 'matmul', n: 32, size: '2x2x2', unit: 'MAC/s', avx2: '5', wasm: '3' },
      { what: 'matmul', n: 64, size: '2x2x2', unit: 'MAC/s', wasm: '1' },
    ]);
  });

  it('have the ratio to their limit in brackets', () => {
    const limited = figure('avx2', 32, 5).set('limit', 10).set('limitOf', 'VPMULLD').set('ratio', 0.5);
    expect(Object.fromEntries(bySet([limited])![0]!)).toEqual({ what: 'matmul', n: 32, size: '2x2x2', unit: 'MAC/s', avx2: '5 (0.50)' }); // prettier-ignore
  });

  it('with other fields are shown as they are', () => {
    expect(bySet([figure('avx2', 32, 5).set('bound', 9)])).toBeUndefined();
  });
});

describe('the file of lines', () => {
  it('survives a write that was cut off, and refuses a line that is none of its own', async () => {
    const file = at('cut.jsonl');
    expect(await readLines(file)).toEqual([]);
    const line = modelLine('mrpc', 'teacher', 0.5);
    await appendLine(file, line);
    appendFileSync(file, '{"kind":"model","ta');
    expect(await readLines(file)).toEqual([line]);
    await appendLine(file, modelLine('cola', 'teacher', 0.25));
    expect((await readLines(file)).map((l) => l.kind === 'model' && l.task)).toEqual(['mrpc', 'cola']);
    appendFileSync(file, '{"kind":"rumour"}\n');
    await expect(readLines(file)).rejects.toThrow(/cut\.jsonl, line 3: kind/);
  });

  it('refuses rows of a task nobody knows, or without a teacher', async () => {
    const student = { task: 'rte', preset: 'secformer', seeds: [1] };
    await expect(readRows(rowsFile('a.json', { teachers: TEACHERS, students: [student] }))).rejects.toThrow('no teacher for rte'); // prettier-ignore
    await expect(readRows(rowsFile('b.json', { teachers: [{ task: 'sst-3' }], students: [] }))).rejects.toThrow(InputError); // prettier-ignore
    await expect(readRows(rowsFile('c.json', { teachers: [{ task: 'rte', flag: [] }], students: [] }))).rejects.toThrow('c.json: teachers.0'); // prettier-ignore
  });

  it('has rows whose runs no two share a folder', async () => {
    const runs = runsOf(await readRows(packageFile('bench/results/rows.json')), { threads: 2, tokenizer: true });
    expect(new Set(runs.map(({ folder }) => folder)).size).toBe(runs.length);
    for (const task of ['sst-2', 'mrpc', 'cola', 'sts-b', 'polarity'])
      for (const preset of ['secformer', 'secformer-centred'])
        for (const variant of ['swapped', 'labels-only', 'seed-1'])
          expect(runs.map(({ folder }) => folder)).toContain(`$RUNS/${task}/${preset}/${variant}`);
  });
});

describe('a measurement made earlier', () => {
  it('is recorded with its command and machine, and shown', async () => {
    const printed = { shape: 'minilm', seq: 25, wallSeconds: 0.34567, peakRssBytes: { party0: 1e9, assistant: 2.5e6 }, rounds: 97 }; // prettier-ignore
    writeFileSync(at('printed.json'), `noise\n${JSON.stringify(printed)}\n`);
    const files = ['--rows', rowsFile('none.json', { teachers: [], students: [] }), '--results', at('speed.jsonl'), '--out', at('speed.md')]; // prettier-ignore
    await bench('record', ...files, '--output', at('printed.json'), '--', 'secure', '--shape', 'minilm', '--seq', '25');
    const [line] = await readLines(at('speed.jsonl'));
    expect(line).toMatchObject({ kind: 'speed', bench: 'secure', output: printed, machine: { node: process.version } });
    const page = readFileSync(at('speed.md'), 'utf8');
    expect(page).toContain('npm run --silent bench -- secure --shape minilm --seq 25   # machine A');
    expect(page).toContain(
      '| shape | seq | wallSeconds | rounds | peakRssBytes.party0 | peakRssBytes.assistant | machine |',
    );
    expect(page).toContain('| minilm | 25 | 0.3457 | 97 | 1.000 G | 2.500 M | A |');
    writeFileSync(at('printed.json'), 'no JSON\n');
    await expect(bench('record', ...files, '--output', at('printed.json'), '--', 'train')).rejects.toThrow('not JSON: no JSON'); // prettier-ignore
  });
});

describe.runIf(existsSync(packageFile('dist/bench/main.js')))('bench results', () => {
  const train = ['--steps', '6', '--max-length', '16', '--dropout', '0'];
  const list = (seeds: number[]): unknown => ({
    teachers: [{ task: 'sts-b', flags: [...train, '--lr', '5e-3'] }],
    labelsOnly: ['--no-distillation'],
    students: [{ task: 'sts-b', preset: 'secformer', seeds, flags: ['--recipe', 'demo', ...train] }],
  });
  const flags = (rows: string): string[] => [
    ...['--rows', rows, '--results', at('results.jsonl'), '--out', at('results.md')],
    ...['--threads', '1', '--quiet'],
    ...['--runs', at('runs'), '--from', at('base'), '--glue', at('glue')],
  ];
  const models = async (): Promise<ModelLine[]> =>
    (await readLines(at('results.jsonl'))).filter((line) => line.kind === 'model');

  beforeAll(async () => {
    mkdirSync(at('tokenizer'));
    writeFileSync(at('tokenizer', 'vocab.txt'), `${TINY_VOCAB.join('\n')}\n`);
    const config = tinyConfig({ id2label: { 0: 'LABEL_0' }, num_labels: 1, max_position_embeddings: 128 });
    await saveModel(at('base'), { config, tensors: tinyTensors(config), tokenizerDir: at('tokenizer'), dtype: 'F32' });
    const random = new CounterRandom(1, 'similar pairs');
    const words = ['good', 'bad', 'film', 'dull', 'fine', 'plot'];
    mkdirSync(at('glue', 'STS-B'), { recursive: true });
    for (const [part, count] of [
      ['train', 64],
      ['dev', 12],
    ] as const) {
      // prettier-ignore
      const rows = Array.from({ length: count }, (_, i) => {
        const first = Array.from({ length: 1 + random.int(6) }, () => words[random.int(6)]!);
        const second = first.map((word) => (random.int(2) === 0 ? word : words[random.int(6)]!));
        const shared = second.filter((word, k) => word === first[k]).length;
        return `${i}\t${first.join(' ')}\t${second.join(' ')}\t${((5 * shared) / first.length).toFixed(3)}`;
      });
      writeFileSync(at('glue', 'STS-B', `${part}.tsv`), `index\tsentence1\tsentence2\tscore\n${rows.join('\n')}\n`);
    }
  });

  it(
    'makes what is missing and nothing else, and shows where each figure comes from',
    { timeout: 240_000 },
    async () => {
      const rows1 = rowsFile('rows1.json', list([1]));
      await bench('train', ...flags(rows1));
      const before = await models();
      expect(before.map(({ variant }) => variant)).toEqual(['teacher', 'swapped', 'student', 'labels-only']);
      const stamp = (name: string): number => statSync(at('runs/sts-b', name, 'run.json')).mtimeMs;
      const [teacher, student] = [stamp('teacher'), stamp('secformer/seed-1')];

      // A run that was killed has no folder, its line was perhaps begun; a second row is new.
      rmSync(at('runs/sts-b/secformer/labels-only'), { recursive: true });
      appendFileSync(at('results.jsonl'), '{"kind":"mod');
      const rows2 = rowsFile('rows2.json', list([1, 2]));
      await bench('train', ...flags(rows2));
      const after = await models();
      expect(after.map(({ variant, seed }) => `${variant} ${seed}`)).toEqual([...['teacher 1', 'swapped 1', 'student 1', 'labels-only 1'], 'student 2', 'labels-only 1']); // prettier-ignore
      expect([stamp('teacher'), stamp('secformer/seed-1')]).toEqual([teacher, student]);
      // Seed and threads fix the bits: the run that was made again has the same score.
      expect(after[5]!.score).toBe(after[3]!.score);

      await bench('secured', ...flags(rows1), '--texts', '5');
      const lines = latest(await readLines(at('results.jsonl')));
      const secured = lines.filter((line) => line.kind === 'secured');
      expect(secured.map((line) => `${line.seed} ${line.path} ${line.examples}`)).toEqual(['1 clear 12', '1 secured 5']); // prettier-ignore
      for (const line of secured) {
        expect(line.withheld).toBe(0);
        // Tiny models of few layers: fixed point stays near float.
        expect(line.maxLogitError).toBeLessThan(0.2);
        expect(Object.keys(line.metrics)).toEqual(['pearson', 'spearman']);
      }
      expect(secured[1]!.rounds).toBe(2 * 15 + 7);
      const size = statSync(at('results.jsonl')).size;
      await bench('secured', ...flags(rows1), '--texts', '5');
      await bench('train', ...flags(rows2));
      expect(statSync(at('results.jsonl')).size).toBe(size);

      const page = readFileSync(at('results.md'), 'utf8');
      const gap = 100 * (after[2]!.score - after[0]!.score);
      expect(page).toContain(`| ${gap < 0 ? '−' : '+'}${Math.abs(gap).toFixed(2)} |`);
      expect(page).toContain('three processes');
      expect(page).not.toContain(dir);
      expect(await bench('train', ...flags(rows2), '--print')).toContain('npx train-distill teacher --from $MINILM --task sts-b --glue $GLUE --steps 6'); // prettier-ignore

      // A student from elsewhere: no record, no teacher, its weights are its name.
      mkdirSync(at('elsewhere/mine'), { recursive: true });
      for (const file of readdirSync(at('runs/sts-b/secformer/seed-1')))
        if (file !== 'run.json') copyFileSync(at('runs/sts-b/secformer/seed-1', file), at('elsewhere/mine', file));
      const brought = { task: 'sts-b', preset: 'secformer', name: 'mine', folder: '$BROUGHT/mine' };
      const rows4 = rowsFile('rows4.json', { ...(list([1]) as object), brought: [brought] });
      const asked = ['--optional', '--only', 'sts-b/mine', '--brought', at('elsewhere'), '--clear-only'];
      await bench('secured', ...flags(rows4), ...asked);
      const last = (await readLines(at('results.jsonl'))).at(-1);
      expect(last).toMatchObject({ kind: 'secured', name: 'mine', path: 'clear', examples: 12, withheld: 0 });
      expect(last).toMatchObject({
        metrics: secured[0]!.metrics,
        run: expect.stringMatching(/^weights [0-9a-f]{64}$/),
      });
      const withBrought = readFileSync(at('results.md'), 'utf8');
      expect(withBrought).toContain('| sts-b | `secformer`, mine |  | interpreter | balanced | 12 |');
      expect(withBrought.split('\n').filter((line) => line.includes('mine'))).toHaveLength(1);
      await bench('secured', ...flags(rows4), ...asked);
      expect((await readLines(at('results.jsonl'))).at(-1)).toEqual(last);
      await expect(bench('secured', ...flags(rows4), ...asked.with(4, at('glue')))).rejects.toThrow('model.safetensors: no such file'); // prettier-ignore

      expect((await bench('train', ...flags(rows2), '--print', '--variants', 'swapped')).split('\n')).toHaveLength(2);
      await expect(bench('train', ...flags(rows2), '--variants', 'swap')).rejects.toThrow("no 'swap'");

      // A folder that holds another run than its row asks for would put figures in the wrong place.
      rmSync(at('runs/sts-b/secformer/seed-2'), { recursive: true });
      mkdirSync(at('runs/sts-b/secformer/seed-2'));
      writeFileSync(
        at('runs/sts-b/secformer/seed-2/run.json'),
        readFileSync(at('runs/sts-b/secformer/seed-1/run.json')),
      );
      await expect(bench('train', ...flags(rows2))).rejects.toThrow(/seed-2 is a run of seed 1/);

      // So would a run that was made by other flags than its row shows.
      rmSync(at('runs/sts-b/secformer/seed-2'), { recursive: true });
      writeFileSync(at('results.jsonl'), '');
      const longer = list([1]) as { students: { flags: string[] }[] };
      longer.students[0]!.flags.push('--steps', '7');
      const rows3 = rowsFile('rows3.json', longer);
      await expect(bench('train', ...flags(rows3))).rejects.toThrow(/seed-1 was not made by its row: stages\.0\.steps is 6, not 7/); // prettier-ignore
    },
  );
});
