/** Writing the bundles of one export: all five folders appear together or not at all. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../../common/errors.ts';
import { writeFolder, exists } from '../../checkpoints/files.ts';
import { TOKENIZER_FILES } from '../../data/tokenizer-files.ts';
import { programDigest } from '../../protocol/codec.ts';
import type { EmbeddingGate, Program, Resolved } from '../../protocol/program.ts';
import { fromNumbers, pack, sub, type Words } from '../../ring/index.ts';
import { BUNDLE_FORMAT, BUNDLE_VERSION, type ClientProgram, type FileEntry, type Manifest, type Measured, type Role } from './format.ts'; // prettier-ignore
import { SEED_BYTES, sections, sha256, spec, staticWords } from './static.ts';

/** One export. */
export interface ExportContent {
  readonly program: Program;
  /** Plaintext integers of every tensor of the program. */
  readonly tensors: ReadonlyMap<string, { readonly data: ArrayLike<number> }>;
  readonly labels: readonly string[];
  /** For provider and client. */
  readonly plan?: string;
  readonly measured?: Measured;
  readonly pairs?: boolean;
  /** Folder with the tokeniser files, already checked. */
  readonly tokenizerDir: string;
  /** Writes the provider's own files (plan, plaintext) into its folder. */
  provider(dir: string): Promise<void>;
  readonly overwrite?: boolean;
}

/** Files only their role may read. */
const SECRET = new Set(['seed.bin', 'seed0.bin', 'seed1.bin', 'masked.bin', 'corrections.bin']);

/**
 * Draws model id and seeds from the operating system, masks every tensor and writes OUT/{party0,…}.
 * @throws RefusedError if `dir` exists and `overwrite` is not set
 */
export async function writeBundles(
  dir: string,
  content: ExportContent,
): Promise<{ modelId: string; exportDigest: string }> {
  const { program } = content;
  const modelId = randomBytes(32).toString('hex');
  const seeds = [randomBytes(SEED_BYTES), randomBytes(SEED_BYTES)] as const;
  const [s0, s1] = [staticWords(program, modelId, seeds[0]), staticWords(program, modelId, seeds[1])];
  const value = (name: string): Words => fromNumbers(plain(content, name), spec(program, name).n);
  const masked = concatenate(program, 'masked', (name) => sub(sub(value(name), s0(name)), s1(name)));
  const corrections = concatenate(program, 'share', (name) => sub(value(name), s0(name)));

  const digest = programDigest(program, sha256);
  // Salted by 32 bytes that nobody keeps: every role knows the digest, and the assistant, which holds B, could confirm a guess of the
  // weights with an unsalted one of F = W − B.
  const exportDigest = createHash('sha256')
    .update(`smpc/export/2\n${modelId}\n${digest}\n`)
    .update(randomBytes(32))
    .update(masked)
    .update(corrections)
    .digest('hex');
  const programText = JSON.stringify(program);
  const task = program.labels === 1 ? 'regression' : 'classification';

  const finish = async (folder: string, role: Role): Promise<void> => {
    const files: Record<string, FileEntry> = {};
    for (const name of (await readdir(folder)).toSorted()) {
      const bytes = await readFile(join(folder, name));
      files[name] = { bytes: bytes.length, sha256: sha256(bytes) };
      await chmod(join(folder, name), SECRET.has(name) || role === 'provider' ? 0o600 : 0o644);
    }
    const told = role === 'provider' || role === 'client'; // the others need nothing of it
    const manifest: Manifest = {
      format: BUNDLE_FORMAT,
      version: BUNDLE_VERSION,
      role,
      suite: program.suite,
      modelId,
      exportDigest,
      programDigest: digest,
      files,
      labels: content.labels,
      task,
      minLength: program.shortest,
      maxLength: program.longest,
      ...(told && content.plan !== undefined ? { plan: content.plan } : {}),
      ...(told && content.measured !== undefined ? { measured: content.measured } : {}),
      ...(told && content.pairs !== undefined ? { pairs: content.pairs } : {}),
    };
    await writeFile(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  };

  await writeFolder(dir, content.overwrite ?? false, async (temporary) => {
    const folder = async (role: Role, fill: (path: string) => Promise<void>): Promise<void> => {
      const path = join(temporary, role);
      await mkdir(path, { mode: role === 'client' ? 0o755 : 0o700 });
      await fill(path);
      await finish(path, role);
    };
    const secret = (path: string, bytes: Uint8Array): Promise<void> => writeFile(path, bytes, { mode: 0o600 });
    for (const [i, role] of (['party0', 'party1'] as const).entries()) {
      await folder(role, async (path) => {
        await writeFile(join(path, 'program.json'), programText);
        await secret(join(path, 'masked.bin'), masked);
        await secret(join(path, 'seed.bin'), seeds[i]!);
        if (i === 1) await secret(join(path, 'corrections.bin'), corrections);
      });
    }
    await folder('assistant', async (path) => {
      await writeFile(join(path, 'program.json'), programText);
      await secret(join(path, 'seed0.bin'), seeds[0]);
      await secret(join(path, 'seed1.bin'), seeds[1]);
    });
    await folder('client', async (path) => {
      await writeFile(join(path, 'client.json'), `${JSON.stringify(clientProgram(program), null, 2)}\n`);
      await copyTokenizer(content.tokenizerDir, path);
    });
    await folder('provider', async (path) => {
      await writeFile(join(path, 'program.json'), programText);
      await copyTokenizer(content.tokenizerDir, path);
      await content.provider(path);
    });
  });
  for (const s of seeds) s.fill(0);
  return { modelId, exportDigest };
}

function plain(content: ExportContent, name: string): ArrayLike<number> {
  const tensor = content.tensors.get(name);
  if (tensor === undefined) throw new Error(`no integers for tensor ${name}`);
  return tensor.data;
}

function concatenate(program: Program, role: 'masked' | 'share', words: (name: string) => Words): Uint8Array {
  const places = sections(program, role);
  const out = new Uint8Array(places.reduce((sum, s) => sum + s.bytes, 0));
  for (const s of places) out.set(pack(words(s.name)), s.offset);
  return out;
}

/** The client's part of a program. */
export function clientProgram(program: Program): ClientProgram {
  const gate = program.gates.findIndex((g) => g.op === 'embedding');
  const embedding = program.gates[gate] as EmbeddingGate;
  const output = program.gates[program.output]!;
  if (typeof embedding.n !== 'number' || typeof output.n !== 'number') throw new Error('client rings are fixed');
  return {
    version: 1,
    gate,
    embedding: embedding as Resolved<EmbeddingGate>,
    rows: spec(program, embedding.tensor).rows,
    heads: program.heads,
    output: { n: output.n, f: output.f, labels: program.labels },
    shortest: program.shortest,
    longest: program.longest,
    ...(program.guard === undefined ? {} : { guarded: true }),
    ...(program.buckets && {
      padding: { gate: program.gates.findIndex(({ op }) => op === 'padding'), buckets: program.buckets },
    }),
  };
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  let copied = 0;
  for (const name of TOKENIZER_FILES) {
    if (!(await exists(join(from, name)))) continue;
    await copyFile(join(from, name), join(to, name));
    copied++;
  }
  if (copied === 0)
    throw new InputError(`${from}: no tokenizer files`, 'Name a folder that has them with --tokenizer DIR.');
}
