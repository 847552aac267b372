/** The owner's side of an export: its bundle holds the plan and the plaintext integers, enough for the clear interpreter. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RefusedError } from '../common/errors.ts';
import { canonicalJson } from '../protocol/digest.ts';
import type { Program } from '../protocol/program.ts';
import { readBundle, type ProviderBundle } from './bundle/read.ts';
import type { Measured } from './bundle/format.ts';
import { writeBundles } from './bundle/write.ts';
import { integersOf, type Integers } from './clear.ts';
import type { Compiled } from './compile.ts';
import { readIntegers, writeIntegers } from './integers-file.ts';
import { lower } from './lower.ts';
import type { Plan } from './plan.ts';

const PLAN = 'plan.json';
const INTEGERS = 'integers.safetensors';

export interface ExportOptions {
  readonly labels: readonly string[];
  /** Told to provider and client in their manifests. */
  readonly plan?: string;
  readonly measured?: Measured;
  /** Whether the calibration texts were pairs. */
  readonly pairs?: boolean;
  readonly tokenizerDir: string;
  readonly overwrite?: boolean;
}

/** Writes OUT/{party0,party1,assistant,client,provider}: together or not at all. */
export async function writeExport(
  dir: string,
  compiled: Compiled,
  options: ExportOptions,
): Promise<{ modelId: string; exportDigest: string }> {
  return writeBundles(dir, {
    ...options,
    program: compiled.program,
    tensors: compiled.tensors,
    async provider(folder) {
      await writeFile(join(folder, PLAN), `${JSON.stringify(compiled.plan)}\n`, { mode: 0o600 });
      await writeIntegers(join(folder, INTEGERS), compiled.folded);
    },
  });
}

export interface Provider {
  readonly bundle: ProviderBundle;
  readonly program: Program;
  readonly plan: Plan;
  readonly integers: Integers;
}

/**
 * Loads OUT/provider for `fixedPredict` and `interpret`.
 * @throws RefusedError if plan and integers do not give the program of the bundle
 */
export async function loadProvider(dir: string): Promise<Provider> {
  const bundle = await readBundle(dir, 'provider');
  const plan = JSON.parse(await readFile(join(dir, PLAN), 'utf8')) as Plan;
  const { program, tensors } = lower(plan, await readIntegers(join(dir, INTEGERS)));
  if (canonicalJson(program) !== canonicalJson(bundle.program))
    throw new RefusedError(`${dir}: plan and program differ`, 'Copy the folder of the same export again, whole.');
  return { bundle, program, plan, integers: integersOf(program, tensors) };
}
