/** The committed tiny program as an export: small, and nothing of it comes from the passes under test. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { lower, type Lowered } from '../../export/lower.ts';
import type { Folded, Plan } from '../../export/plan.ts';
import { readJson, specFolded } from './spec-program.ts';

const DIR = join(dirname(import.meta.dirname), 'vectors', 'spec', 'program_tiny_centred');

export interface TinyExport extends Lowered {
  readonly plan: Plan;
  readonly folded: Folded;
}

export function tinyExport(): TinyExport {
  const plan = readJson<Plan>(join(DIR, 'plan.json'));
  const folded = specFolded(join(DIR, 'folded.safetensors'));
  return { plan, folded, ...lower(plan, folded) };
}

/** A folder with a one-line vocabulary: bundles copy tokeniser files, they do not read them. */
export function tinyTokenizer(): string {
  const dir = mkdtempSync(join(tmpdir(), 'tiny-tokenizer-'));
  writeFileSync(join(dir, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n');
  return dir;
}
