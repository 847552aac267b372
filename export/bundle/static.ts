/** Static masks and shares: B_i and party 0's static shares are leaves of M_i under the model's id (protocols.md, section 6). */
import { createHash } from 'node:crypto';
import type { Program, TensorSpec } from '../../protocol/program.ts';
import { expand, extract, staticLeaf } from '../../ring/prg-node.ts';
import { packedBytes, type Secret, type Words } from '../../ring/index.ts';

export const SEED_BYTES = 32;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Expander of one party's static words: `(tensor name) → words in the tensor's ring`. */
export function staticWords(program: Program, modelId: string, seed: Secret | Uint8Array): (name: string) => Words {
  const key = extract(Buffer.from(modelId, 'hex'), seed);
  return (name) => {
    const { n, rows, cols } = spec(program, name);
    return expand(staticLeaf(key, name, n, rows, cols), n, rows * cols);
  };
}

/** The tensor of that name; a missing one is a bug. */
export function spec(program: Program, name: string): TensorSpec {
  const found = program.tensors[name];
  if (found === undefined) throw new Error(`program has no tensor ${name}`);
  return found;
}

export interface Section {
  readonly name: string;
  readonly spec: TensorSpec;
  /** First byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

/** Where each tensor of a role stands in its file: in program order, every one on a byte boundary. */
export function sections(program: Program, role: TensorSpec['role']): Section[] {
  let offset = 0;
  return Object.entries(program.tensors)
    .filter(([, t]) => t.role === role)
    .map(([name, t]) => {
      const bytes = packedBytes(t.n, t.rows * t.cols);
      offset += bytes;
      return { name, spec: t, offset: offset - bytes, bytes };
    });
}
