/** Reading a bundle: every file is checked for size and hash before anything of it is used. */
import { closeSync, openSync, readSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError, RefusedError } from '../../common/errors.ts';
import { parseProgram, programDigest } from '../../protocol/codec.ts';
import type { Program } from '../../protocol/program.ts';
import { outside, add, Secret, unpack, type Words } from '../../ring/index.ts';
import { BUNDLE_FORMAT, BUNDLE_VERSION, ROLES, ROLE_NAMES, type ClientProgram, type Manifest, type Role } from './format.ts'; // prettier-ignore
import { SEED_BYTES, type Section, sections, sha256, staticWords } from './static.ts';

interface Bundle {
  readonly dir: string;
  readonly manifest: Manifest;
}

export interface PartyBundle extends Bundle {
  readonly role: 'party0' | 'party1';
  readonly party: 0 | 1;
  readonly program: Program;
  /** M_i. */
  readonly seed: Secret;
  /** Masked tensor in its ring: F, and V = F + B_0 at party 0, V = B_1 at party 1. Made anew from disk and seed at every call. */
  weight(name: string): { readonly F: Words; readonly V: Words };
  /** This party's additive share of a static tensor, in its ring. */
  share(name: string): Words;
}

export interface AssistantBundle extends Bundle {
  readonly role: 'assistant';
  readonly program: Program;
  /** M_0 and M_1. */
  readonly seeds: readonly [Secret, Secret];
  /** B = B_0 + B_1 in the tensor's ring, made anew at every call. */
  maskedWeight(name: string): Words;
}

export interface ClientBundle extends Bundle {
  readonly role: 'client';
  readonly client: ClientProgram;
  readonly tokenizerDir: string;
}

export interface ProviderBundle extends Bundle {
  readonly role: 'provider';
  readonly program: Program;
}

export interface Bundles {
  party0: PartyBundle;
  party1: PartyBundle;
  assistant: AssistantBundle;
  client: ClientBundle;
  provider: ProviderBundle;
}

const MANIFEST = z.object({
  format: z.literal(BUNDLE_FORMAT),
  version: z.literal(BUNDLE_VERSION),
  role: z.enum(ROLES),
  suite: z.string(),
  modelId: z.string().regex(/^[0-9a-f]{64}$/),
  exportDigest: z.string().regex(/^[0-9a-f]{64}$/),
  programDigest: z.string().regex(/^[0-9a-f]{64}$/),
  files: z.record(
    z.string().regex(/^[A-Za-z0-9_.-]+$/),
    z.object({ bytes: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
  labels: z.array(z.string()).min(1),
  task: z.enum(['classification', 'regression']),
  minLength: z.int().min(1),
  maxLength: z.int().min(1),
  plan: z.exactOptional(z.string()),
  pairs: z.exactOptional(z.boolean()),
  measured: z.exactOptional(
    z.object({
      texts: z.int().min(1),
      refused: z.int().min(0),
      maxError: z.number().min(0),
      meanError: z.number().min(0),
      labelsEqual: z.exactOptional(z.int().min(0)),
    }),
  ),
});

const AGAIN = 'Copy the folder of the same export again, whole.';

/**
 * Reads the bundle of one role.
 * @throws InputError if the folder is no bundle, RefusedError if it is another role's, truncated or changed
 */
export async function readBundle<R extends Role>(dir: string, role: R): Promise<Bundles[R]> {
  const manifest = await readManifest(dir, role);
  const files = new Map<string, Uint8Array>();
  for (const name of Object.keys(manifest.files)) files.set(name, await readChecked(dir, name, manifest));
  const file = (name: string): Uint8Array => {
    const bytes = files.get(name);
    if (bytes === undefined) throw new RefusedError(`${join(dir, 'manifest.json')}: lists no ${name}`, AGAIN);
    return bytes;
  };
  return READERS[role]({ dir, manifest, file });
}

async function readManifest(dir: string, role: Role): Promise<Manifest> {
  const path = join(dir, 'manifest.json');
  const text = await readFile(path, 'utf8').catch(() => {
    throw new InputError(
      `${path}: cannot be read`,
      `Give the folder of ${ROLE_NAMES[role]} that export-shares wrote (…/${role}).`,
    );
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RefusedError(`${path}: not JSON: truncated or changed`, AGAIN);
  }
  const head = json as { format?: unknown; version?: unknown; role?: unknown } | null;
  if (head?.format !== BUNDLE_FORMAT)
    throw new InputError(`${path}: not a bundle of this toolkit`, 'Give a folder that export-shares wrote.');
  if (head.version !== BUNDLE_VERSION)
    throw new RefusedError(
      `${path}: bundle version ${String(head.version)}, this program reads ${BUNDLE_VERSION}`,
      'Export again with this version of the toolkit.',
    );
  if (head.role !== role && ROLES.includes(head.role as Role))
    throw new RefusedError(
      `${dir}: this is the bundle of ${ROLE_NAMES[head.role as Role]}, not of ${ROLE_NAMES[role]}`,
      `Give the folder …/${role} of the export.`,
    );
  const parsed = MANIFEST.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new RefusedError(`${path}: ${issue.path.join('.')}: ${issue.message}`, AGAIN);
  }
  return parsed.data;
}

async function readChecked(dir: string, name: string, manifest: Manifest): Promise<Uint8Array> {
  const path = join(dir, name);
  const { bytes, sha256: expected } = manifest.files[name]!;
  const size = await stat(path).then(
    (s) => s.size,
    () => undefined,
  );
  if (size === undefined) throw new RefusedError(`${path}: missing`, AGAIN);
  if (size !== bytes) throw new RefusedError(`${path}: ${size} bytes, the manifest says ${bytes}`, AGAIN);
  const content = await readFile(path);
  if (sha256(content) !== expected)
    throw new RefusedError(`${path}: changed since the export (SHA-256 differs)`, AGAIN);
  return content;
}

interface Source extends Bundle {
  file(name: string): Uint8Array;
}

const READERS: { [R in Role]: (source: Source) => Bundles[R] } = {
  party0: (source) => party(source, 0),
  party1: (source) => party(source, 1),
  assistant: (source) => {
    const program = readProgram(source);
    const seeds = [seed(source, 'seed0.bin'), seed(source, 'seed1.bin')] as const;
    const [b0, b1] = seeds.map((s) => staticWords(program, source.manifest.modelId, s));
    return {
      ...base(source),
      role: 'assistant',
      program,
      seeds,
      maskedWeight: (name) => add(b0!(name), b1!(name)),
    };
  },
  client: (source) => {
    const json = parse(source, 'client.json') as ClientProgram;
    if (json.version !== 1 || json.embedding?.op !== 'embedding')
      throw new RefusedError(`${join(source.dir, 'client.json')}: not a client program`, AGAIN);
    return { ...base(source), role: 'client', client: json, tokenizerDir: source.dir };
  },
  provider: (source) => ({ ...base(source), role: 'provider', program: readProgram(source) }),
};

const base = ({ dir, manifest }: Source): Bundle => ({ dir, manifest });

function party(source: Source, index: 0 | 1): PartyBundle {
  const program = readProgram(source);
  const secret = seed(source, 'seed.bin');
  const words = staticWords(program, source.manifest.modelId, secret);
  const masked = tensors(source, program, 'masked.bin', 'masked');
  const corrections = index === 1 ? tensors(source, program, 'corrections.bin', 'share') : undefined;
  return {
    ...base(source),
    role: index === 0 ? 'party0' : 'party1',
    party: index,
    program,
    seed: secret,
    weight: (name) => {
      const F = masked(name);
      const B = words(name);
      return { F, V: index === 0 ? add(F, B) : B };
    },
    share: cached((name) => (corrections === undefined ? words(name) : corrections(name))),
  };
}

function readProgram(source: Source): Program {
  const program = parseProgram(parse(source, 'program.json'));
  if (programDigest(program, sha256) !== source.manifest.programDigest)
    throw new RefusedError(`${join(source.dir, 'program.json')}: not the program of this export`, AGAIN);
  return program;
}

function parse(source: Source, name: string): unknown {
  try {
    return JSON.parse(Buffer.from(source.file(name)).toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new RefusedError(`${join(source.dir, name)}: not JSON`, AGAIN);
    throw error;
  }
}

function seed(source: Source, name: string): Secret {
  const bytes = source.file(name);
  if (bytes.length !== SEED_BYTES)
    throw new RefusedError(`${join(source.dir, name)}: ${bytes.length} bytes, a seed has ${SEED_BYTES}`, AGAIN);
  return new Secret(Uint8Array.from(bytes));
}

/**
 * The tensors of one packed file. What was read of it to check its hash is not kept, a party holds its weights in another form;
 * when a tensor is asked for, its part is read again and held to the hash it had then.
 */
function tensors(source: Source, program: Program, name: string, role: 'masked' | 'share'): (tensor: string) => Words {
  const bytes = source.file(name);
  const path = join(source.dir, name);
  const places = sections(program, role);
  const expected = places.reduce((sum, s) => sum + s.bytes, 0);
  if (bytes.length !== expected)
    throw new RefusedError(`${path}: ${bytes.length} bytes, the program needs ${expected}`, AGAIN);
  const byName = hashed(bytes, places);
  return (tensor) => {
    const s = byName.get(tensor);
    if (s === undefined) throw new Error(`${name} has no tensor ${tensor}`);
    const part = readPart(path, s.offset, s.bytes);
    if (part === undefined || sha256(part) !== s.hash)
      throw new RefusedError(`${path}: changed since it was read first`, `${AGAIN} Then start again.`);
    return unpack(part, s.spec.n, s.spec.rows * s.spec.cols);
  };
}

/** Sections with their hashes. (Its own function: a closure next to the one returned above would keep the bytes alive.) */
const hashed = (bytes: Uint8Array, places: readonly Section[]): Map<string, Section & { readonly hash: string }> =>
  new Map(places.map((s) => [s.name, { ...s, hash: sha256(bytes.subarray(s.offset, s.offset + s.bytes)) }]));

/** Undefined where the file has gone or has no such bytes. */
function readPart(path: string, offset: number, bytes: number): Uint8Array | undefined {
  const part = new Uint8Array(bytes);
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    for (let at = 0; at < bytes;) {
      const read = readSync(file, part, at, bytes - at, offset + at);
      if (read === 0) return undefined;
      at += read;
    }
    return part;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function cached<T>(make: (name: string) => T): (name: string) => T {
  const made = new Map<string, T>();
  return (name) => {
    let value = made.get(name);
    if (value === undefined) made.set(name, (value = outside(() => make(name))));
    return value;
  };
}
