import { createRequire } from 'node:module';
import { describe, expect, it, vi } from 'vitest';
import { Failure, InputError } from '../../common/errors.ts';
import { selectEngine } from '../../engine/select.ts';
import { createTfjsEngine } from '../../engine/tfjs.ts';
import type { Importer } from '../../engine/tfjs/load.ts';

const PREFIX = '@tensorflow/tfjs-';

/** What Node throws for a package that is not there. */
const missing = (name: string): Error =>
  Object.assign(new Error(`Cannot find package '${name}' imported from /toolkit/engine/tfjs/load.js`), {
    code: 'ERR_MODULE_NOT_FOUND',
  });

/** A computer on which only the named packages are installed; `asked` collects what is imported. */
const installed = (packages: Record<string, unknown>, asked: string[] = []): Importer => {
  return async (name) => {
    asked.push(name);
    const found = packages[name.replace(PREFIX, '')];
    if (found === undefined) throw missing(name);
    if (found instanceof Error) throw found;
    return found;
  };
};

/** As much of TensorFlow.js as starting needs. */
const fake = (setBackend: (name: string) => Promise<boolean>): unknown => ({
  default: { version_core: '4.22.0', enableProdMode: () => undefined, setBackend },
});

const failure = async (importer: Importer, provider?: string): Promise<Failure> => {
  const how = provider === undefined ? {} : { provider };
  const error = await createTfjsEngine({ threads: 3, importer, ...how }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(Failure);
  return error as Failure;
};

describe('choosing an engine', () => {
  it('loads TensorFlow.js only when it is asked for, and then without a word on the console', async () => {
    const { cache } = createRequire(import.meta.url);
    const loaded = (): boolean => Object.keys(cache).some((file) => file.includes('@tensorflow'));
    const said = vi.spyOn(console, 'warn');
    const onnxruntime = await selectEngine('onnxruntime', { threads: 3 });
    expect(onnxruntime).toMatchObject({ name: expect.stringMatching(/^onnxruntime-node \d/) as string, threads: 3 });
    expect(loaded()).toBe(false);
    const tfjs = await selectEngine('tfjs', { threads: 3 });
    expect(tfjs.name).toMatch(/^@tensorflow\/tfjs-[a-z-]+ 4\./);
    expect(loaded()).toBe(true);
    tfjs.createState(new Map([['w', { shape: [1], data: Float32Array.of(1) }]]));
    expect(said).not.toHaveBeenCalled();
    said.mockRestore();
  });

  it('refuses a name it does not know', async () => {
    await expect(selectEngine('tensorflow', { threads: 1 })).rejects.toThrow("unknown engine 'tensorflow'");
  });
});

describe('which TensorFlow.js runs', () => {
  it('none installed: says what to install, having looked for each', async () => {
    const asked: string[] = [];
    const error = await failure(installed({}, asked));
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe('no TensorFlow.js backend is installed');
    expect(error.hint).toContain('npm install @tensorflow/tfjs-node-gpu');
    expect(error.hint).toContain('npm install @tensorflow/tfjs-core @tensorflow/tfjs-backend-cpu');
    expect(asked.map((n) => n.replace(PREFIX, ''))).toEqual(['node-gpu', 'node', 'backend-wasm', 'backend-cpu']);
  });

  it('the fastest one that is installed, with the threads it uses', async () => {
    const started: string[] = [];
    const core = fake(async (name) => started.push(name) > 0);
    const all = { 'node-gpu': core, node: core, core, 'backend-wasm': {}, 'backend-cpu': {} };
    for (const [without, name, threads] of [
      [[], 'node-gpu', 3],
      [['node-gpu'], 'node', 3],
      [['node-gpu', 'node'], 'backend-wasm', 1],
      [['node-gpu', 'node', 'backend-wasm'], 'backend-cpu', 1],
    ] as const) {
      const packages = Object.fromEntries(Object.entries(all).filter(([n]) => !without.some((w) => w === n)));
      const engine = await createTfjsEngine({ threads: 3, importer: installed(packages) });
      expect(engine).toMatchObject({ name: `${PREFIX}${name} 4.22.0`, threads });
    }
    expect(started).toEqual(['tensorflow', 'tensorflow', 'wasm', 'cpu']);
    // libtensorflow reads its threads from here, once a process.
    expect(process.env['TF_NUM_INTRAOP_THREADS']).toBe('3');
    await expect(createTfjsEngine({ threads: 2, importer: installed(all) })).rejects.toThrow('loaded with 3 threads');
  });

  it('a backend without the operations', async () => {
    const error = await failure(installed({ 'backend-cpu': {} }));
    expect(error.message).toBe('@tensorflow/tfjs-backend-cpu is installed, but not @tensorflow/tfjs-core');
    expect(error.hint).toBe('npm install @tensorflow/tfjs-core');
  });

  it('installed but broken: nothing slower takes its place', async () => {
    const core = fake(async () => true);
    const others = { core, 'backend-cpu': {} };
    // The native library is absent; a module that the package needs is absent; the backend does not come up.
    const native = new Error('libcudart.so.11.0: cannot open shared object file\n    at Module._extensions');
    const inner = Object.assign(new Error("Cannot find module '../lib/napi-v8/tfjs_binding.node'"), {
      code: 'MODULE_NOT_FOUND',
    });
    for (const [gpu, why] of [
      [native, 'libcudart.so.11.0: cannot open shared object file'],
      [inner, 'tfjs_binding.node'],
      [fake(async () => false), 'backend tensorflow cannot be initialised'],
      [fake(() => Promise.reject(new Error('no device'))), 'no device'],
    ] as const) {
      const error = await failure(installed({ ...others, 'node-gpu': gpu }));
      expect(error.message).toContain('@tensorflow/tfjs-node-gpu is installed, but does not start: ');
      expect(error.message).toContain(why);
      expect(error.message).not.toContain('\n');
      expect(error.hint).toContain('npm uninstall @tensorflow/tfjs-node-gpu');
    }
  });

  it('a named backend, and only that', async () => {
    const asked: string[] = [];
    const error = await failure(installed({}, asked), '@tensorflow/tfjs-backend-wasm');
    expect(error.message).toBe('@tensorflow/tfjs-backend-wasm is not installed');
    expect(asked).toEqual(['@tensorflow/tfjs-backend-wasm']);
  });
});
