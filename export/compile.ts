/** The compiler: trace → calibrate → fit and plan → fold → lower, one pass a file. */
import { createHash } from 'node:crypto';
import { checkProgram } from '../protocol/resolve.ts';
import type { Engine } from '../engine/engine.ts';
import type { ModelConfig } from '../model/config.ts';
import { boundsOf } from './bounds.ts';
import { calibrate, type Sample } from './calibrate.ts';
import { fold } from './fold.ts';
import { lower, type Lowered } from './lower.ts';
import { BALANCED, makePlan, type PlanOptions } from './make-plan.ts';
import type { Folded, Plan } from './plan.ts';
import { realModel } from './real-model.ts';

export interface CompileOptions {
  readonly engine: Engine;
  readonly config: ModelConfig;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  readonly sample: Sample;
  readonly plan?: PlanOptions;
  readonly progress?: (stage: 'calibrate' | 'plan' | 'fold', done: number, total: number, note?: string) => void;
}

export interface Compiled extends Lowered {
  readonly plan: Plan;
  readonly folded: Folded;
}

/** @throws RefusedError for a model the suite cannot run, or a plan whose bounds do not fit */
export async function compile(options: CompileOptions): Promise<Compiled> {
  const { config, tensors, sample, progress } = options;
  const model = realModel(config, tensors); // before the long passes: it refuses what cannot be exported
  const chosen = options.plan ?? BALANCED;
  const ranges = await calibrate(sample, {
    engine: options.engine,
    config,
    tensors,
    progress: (done, total) => progress?.('calibrate', done, total),
  });
  const planned = chosen.guard ? { ...model, bounds: boundsOf(model) } : model;
  const plan = makePlan(planned, ranges, chosen, (what, done, total) => progress?.('plan', done, total, what));
  const folded = fold(model, plan, (done, total) => progress?.('fold', done, total));
  const lowered = lower(plan, folded);
  checkProgram(lowered.program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  return { plan, folded, ...lowered };
}
