/** Optimiser step and dropout masks in C++ (`native/`), where `npm ci` found a compiler; without it graph and JavaScript do it. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { InputError } from '../common/errors.ts';
import { packageRoot } from '../common/package-root.ts';

/**
 * One tensor: parameter, its two moments (all changed in place), gradient, and `[β₁, β₂, w₁, w₂, rate, ε, decay]`. If only
 * some rows have a gradient, also their distinct numbers and the elements of a row.
 */
export type AdamTensor =
  | readonly [p: Float32Array, m: Float32Array, v: Float32Array, g: Float32Array, factors: Float32Array]
  | readonly [
      p: Float32Array,
      m: Float32Array,
      v: Float32Array,
      g: Float32Array,
      factors: Float32Array,
      rows: BigInt64Array,
      width: number,
    ];

export interface Native {
  /** The formula of `graph/ops/adam.ts`; subnormal results count as 0. */
  adam(tensors: readonly AdamTensor[], threads: number): void;
  /** Fills each array as `CounterRandom.fillDropout` does; words are those of its `name`, then 2^32 times the rate. */
  dropout(sites: readonly (readonly [out: Float32Array, words: Uint32Array, keep: number])[], threads: number): void;
}

/**
 * The addon, or undefined where it was not built.
 * @throws InputError if it is there but cannot be loaded
 */
export function loadNative(): Native | undefined {
  const file = join(packageRoot(), 'build', 'engine.node');
  if (!existsSync(file)) return undefined;
  try {
    return createRequire(import.meta.url)(file) as Native;
  } catch (error) {
    throw new InputError(
      `build/engine.node: cannot be loaded (${(error as Error).message.split('\n')[0]})`,
      'run `npm rebuild` to build it for this machine, or delete the file to train without it',
    );
  }
}
