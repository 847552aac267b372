/** Which TensorFlow.js the user has installed, and bringing up its backend. */
import type * as TensorFlow from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Failure, InputError } from '../../common/errors.ts';

export type Tf = typeof TensorFlow;

/** Imports a package by name; rejects with Node's code (ERR_)MODULE_NOT_FOUND if it is not installed. */
export type Importer = (name: string) => Promise<unknown>;

/** Resolved first, as bundlers and test runners put their own errors in place of Node's. */
const importPackage: Importer = async (name) =>
  import(pathToFileURL(createRequire(import.meta.url).resolve(name)).href);

interface Candidate {
  /** The package that registers the backend; it is imported last and named in the run record. */
  readonly provider: string;
  /** The package with the operations, where that is another one. */
  readonly core?: string;
  readonly backend: string;
}

/** In order of speed. */
const CANDIDATES: readonly Candidate[] = [
  { provider: '@tensorflow/tfjs-node-gpu', backend: 'tensorflow' },
  { provider: '@tensorflow/tfjs-node', backend: 'tensorflow' },
  { provider: '@tensorflow/tfjs-backend-wasm', core: '@tensorflow/tfjs-core', backend: 'wasm' },
  { provider: '@tensorflow/tfjs-backend-cpu', core: '@tensorflow/tfjs-core', backend: 'cpu' },
];

const INSTALL =
  'npm install @tensorflow/tfjs-node-gpu (CUDA, Node below 23), or ' +
  'npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu (anywhere, slow). ' +
  'Or leave --engine out: onnxruntime is installed.';

export interface Loaded {
  readonly tf: Tf;
  readonly backend: string;
  /** Package and version. */
  readonly name: string;
  readonly threads: number;
}

/**
 * The first installed candidate, or the one whose backend package is `only`.
 *
 * @throws InputError if none is installed, or `only` is not
 * @throws Failure if a package is installed but does not start: nothing slower takes its place
 */
export async function loadTfjs(threads: number, importer: Importer = importPackage, only?: string): Promise<Loaded> {
  for (const candidate of CANDIDATES) {
    const { provider, core, backend } = candidate;
    if (only !== undefined && only !== provider) continue;
    if (backend === 'tensorflow') prepareThreads(threads);
    const module = await installed(provider, importer);
    if (module === undefined) continue;
    const used = takenThreads(backend, threads);
    const tf = namespace(core === undefined ? module : await required(core, provider, importer));
    // Without it the CPU backend greets on the console, and every operation may check its values for NaN.
    tf.enableProdMode();
    await start(tf, candidate);
    return { tf, backend, name: `${provider} ${tf.version_core}`, threads: used };
  }
  throw new InputError(
    only === undefined ? 'no TensorFlow.js backend is installed' : `${only} is not installed`,
    INSTALL,
  );
}

/** The package's exports; undefined if it is not installed. */
async function installed(name: string, importer: Importer): Promise<unknown> {
  try {
    return await importer(name);
  } catch (error) {
    if (isMissing(error, name)) return undefined;
    throw broken(name, error);
  }
}

async function required(name: string, by: string, importer: Importer): Promise<unknown> {
  const module = await installed(name, importer);
  if (module === undefined) throw new InputError(`${by} is installed, but not ${name}`, `npm install ${name}`);
  return module;
}

/** The package itself is absent, rather than something that it imports. */
function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && String(message).includes(`'${name}'`);
}

const broken = (name: string, error: unknown): Failure =>
  new Failure(
    `${name} is installed, but does not start: ${String(error instanceof Error ? error.message : error).split('\n')[0]}`,
    `Reinstall it (npm rebuild ${name}; tfjs-node needs Node below 23, the GPU form CUDA and cuDNN), or npm uninstall ${name}.`,
  );

async function start(tf: Tf, { provider, backend }: Candidate): Promise<void> {
  let works: boolean;
  try {
    works = await tf.setBackend(backend);
  } catch (error) {
    throw broken(provider, error);
  }
  if (!works) throw broken(provider, `backend ${backend} cannot be initialised`);
}

/** All packages are CommonJS: their whole namespace is the default export, and only some of it has names. */
function namespace(module: unknown): Tf {
  const { default: whole } = module as { default?: Tf };
  return whole ?? (module as Tf);
}

/** libtensorflow reads these when it is loaded. */
function prepareThreads(threads: number): void {
  process.env['TF_NUM_INTRAOP_THREADS'] = String(threads);
  process.env['TF_NUM_INTEROP_THREADS'] = '1';
  // Warnings and errors only, unless the user wants more.
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '1';
}

let taken: number | undefined;

/** Threads the loaded backend uses: under Node the WebAssembly backend has one, as plain JavaScript has. */
function takenThreads(backend: string, threads: number): number {
  if (backend !== 'tensorflow') return 1;
  if (taken !== undefined && taken !== threads)
    throw new Error(`TensorFlow was loaded with ${taken} threads; a process cannot change it to ${threads}`);
  return (taken = threads);
}
