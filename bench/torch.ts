/** The training step beside PyTorch's (`torch-step.py`): the same weights and batches, step by step in alternation. */
import { spawn } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Failure } from '../common/errors.ts';
import { packageRoot } from '../common/package-root.ts';
import { createEngine } from '../engine/onnxruntime.ts';
import type { SoftmaxAct } from '../model/config.ts';
import { benchBatch, buildStep, median, RATE, SHAPES, type BenchBatch, type BenchStep, type ObjectiveName, type Shapes } from './train-step.ts'; // prettier-ignore

export interface TorchComparison {
  readonly objective: ObjectiveName;
  readonly threads: number;
  /** Version of PyTorch. */
  readonly torch: string;
  /** Rows of the last layer that PyTorch computes. */
  readonly torchRows: 'all-tokens' | 'first-token';
  readonly steps: readonly {
    readonly batch: number;
    readonly length: number;
    /** Median seconds of a step. */
    readonly ours: number;
    readonly theirs: number;
    /** Median over the pairs of neighbouring steps, and ratio of the fastest. */
    readonly ratio: number;
    readonly ratioOfBest: number;
    /** Ratio of the least processor times: with one thread, what other work on the machine disturbs least. */
    readonly ratioOfCpu: number;
    /** Largest difference between the losses of equal steps. */
    readonly lossDifference: number;
  }[];
}

/** Losses of the same step may differ by float32 rounding; more is another computation, whose time says nothing. */
const LOSS_TOLERANCE = 1e-4;

/** Raw float32 of all tensors one after the other, and the list of them. */
async function writeWeights(folder: string, step: BenchStep): Promise<void> {
  const tensors: { name: string; shape: readonly number[] }[] = [];
  const handle = await open(join(folder, 'weights.f32'), 'w');
  try {
    for (const [prefix, weights] of [
      ['', step.weights],
      ['teacher:', step.teacher ?? new Map()],
    ] as const) {
      for (const [name, { shape, data }] of weights) {
        tensors.push({ name: prefix + name, shape });
        await handle.write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      }
    }
  } finally {
    await handle.close();
  }
  await writeFile(join(folder, 'weights.json'), JSON.stringify({ config: step.config, tensors }));
}

/** A Python process that answers each line of JSON by one. */
function talk(python: string, args: readonly string[]): { ask(question: unknown): Promise<any>; end(): void } {
  const child = spawn(python, [join(packageRoot(), 'bench', 'torch-step.py'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<never>((_, reject) => {
    const fail = (why: string): void => reject(new Failure(`${python}: ${why}`, 'give an interpreter that has torch'));
    child.on('error', (error) => fail(error.message));
    child.on('exit', (code) => fail(`ended with code ${code}`));
  });
  ended.catch(() => {});
  child.stdin.on('error', () => {});
  return {
    ask: async (question) => {
      child.stdin.write(`${JSON.stringify(question)}\n`);
      const next = await Promise.race([lines.next(), ended]);
      return next.done === true ? await ended : JSON.parse(next.value);
    },
    end: () => child.stdin.end(),
  };
}

/**
 * Times both. A pair of steps is neighbouring in time, so that other work on the machine meets both alike.
 * @throws Failure if PyTorch does not run, or its losses are not ours
 */
export async function compareWithTorch(
  python: string,
  options: {
    readonly threads: number;
    readonly repeats: number;
    readonly objective: ObjectiveName;
    readonly normaliser: SoftmaxAct;
    readonly shapes?: Shapes;
    /** PyTorch, too, computes of the last layer only what labels need (`firstTokenOnly` of `model/forward.ts`). */
    readonly firstTokenOnly?: boolean;
  },
): Promise<TorchComparison> {
  const { threads, repeats, objective, normaliser, shapes = SHAPES, firstTokenOnly = false } = options;
  const step = await buildStep(createEngine({ threads }), objective, normaliser);
  const folder = await mkdtemp(join(tmpdir(), 'torch-step-'));
  const last = firstTokenOnly ? 'first-token' : 'all-tokens';
  const settings = [folder, objective, normaliser, String(threads), String(RATE), last];
  try {
    await writeWeights(folder, step);
    const torch = talk(python, settings);
    const { version } = (await torch.ask('version')) as { version: string };
    const steps: TorchComparison['steps'][number][] = [];
    for (const [batch, length] of shapes) {
      const input: BenchBatch = benchBatch(batch, length);
      const question = { batch, length, ids: [...input.ids], targets: [...input.targets] };
      const pairs: { ours: number; theirs: number; cpu: readonly [number, number] }[] = [];
      let lossDifference = 0;
      for (let i = 0; i <= repeats; i++) {
        const ours = await step.run(input);
        const theirs = (await torch.ask(question)) as { loss: number; seconds: number; cpu: number };
        lossDifference = Math.max(
          lossDifference,
          Math.abs(ours.loss - theirs.loss) / Math.max(1, Math.abs(theirs.loss)),
        );
        if (!(lossDifference <= LOSS_TOLERANCE))
          throw new Failure(`step ${i + 1}: loss ${ours.loss}, PyTorch ${theirs.loss}`, 'the steps are not the same');
        if (i > 0) pairs.push({ ours: ours.seconds, theirs: theirs.seconds, cpu: [ours.cpu, theirs.cpu] });
      }
      const [ours, theirs] = [pairs.map((p) => p.ours), pairs.map((p) => p.theirs)];
      steps.push({
        batch,
        length,
        ours: median(ours),
        theirs: median(theirs),
        ratio: median(pairs.map((p) => p.ours / p.theirs)),
        ratioOfBest: Math.min(...ours) / Math.min(...theirs),
        ratioOfCpu: Math.min(...pairs.map((p) => p.cpu[0])) / Math.min(...pairs.map((p) => p.cpu[1])),
        lossDifference,
      });
    }
    torch.end();
    return { objective, threads, torch: version, torchRows: last, steps };
  } finally {
    await step.release();
    await rm(folder, { recursive: true, force: true });
  }
}

export const showComparison = ({ objective, threads, torch, steps }: TorchComparison): string =>
  steps
    .map(
      (s) =>
        `${objective} ${s.batch}×${s.length}, ${threads} threads: ${s.ours.toFixed(3)} s, PyTorch ${torch} ${s.theirs.toFixed(3)} s, ` +
        `ratio ${s.ratio.toFixed(2)} (of the fastest steps ${s.ratioOfBest.toFixed(2)}, of processor time ${s.ratioOfCpu.toFixed(2)}), losses within ${s.lossDifference.toExponential(1)}\n`,
    )
    .join('');
