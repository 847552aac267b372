// Compiles the ring kernels to build/kernels.node and the optimiser step and dropout masks to build/engine.node where a C++ compiler is found;
// else the committed WebAssembly and the training graph's own nodes serve. Prints one line for each and never fails: native
// code is an acceleration, not a requirement.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));

const SETS = {
  portable: [],
  // Every 64-bit ARM has it.
  ...(process.arch === 'arm64' && { neon: ['-DRING_NEON'] }),
  ...(process.arch === 'x64' && {
    avx2: ['-mavx2', '-maes'],
    avx512: ['-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mavx512ifma', '-mavx512vnni', '-maes', '-mvaes'],
  }),
};

async function compiler() {
  for (const name of [process.env.CXX, 'g++', 'c++', 'clang++'].filter(Boolean)) {
    try {
      await run(name, ['--version']);
      return name;
    } catch {
      // Not there: the next.
    }
  }
  return undefined;
}

const ring = join(root, 'ring', 'kernels', 'src');
const engine = join(root, 'engine', 'native');

/** Each addon: its sources, one compilation per object, and what to say of it. */
const ADDONS = [
  {
    target: join(root, 'build', 'kernels.node'),
    source: ring,
    objects: {
      ...Object.fromEntries(
        Object.entries(SETS).map(([isa, flags]) => [isa, [...flags, `-DRING_ISA=${isa}`, join(ring, 'all.cc')]]),
      ),
      addon: [...('avx2' in SETS ? ['-DRING_X86'] : 'neon' in SETS ? ['-DRING_ARM'] : []), join(ring, 'addon.cc')],
    },
    what: 'ring kernels',
    native: (addon) => `native (${addon.avx512 ? 'AVX-512' : addon.avx2 ? 'AVX2' : addon.neon ? 'NEON' : 'portable'})`,
    otherwise: 'WebAssembly',
  },
  {
    target: join(root, 'build', 'engine.node'),
    source: engine,
    // Every operation is rounded, so that the bits are those of the training graph.
    objects: { addon: ['-ffp-contract=off', '-fno-math-errno', join(engine, 'addon.cc')] },
    what: 'training step on the host',
    native: () => 'native',
    otherwise: 'JavaScript and the training graph',
  },
];

function upToDate({ target, source }) {
  if (!existsSync(target)) return false;
  const built = statSync(target).mtimeMs;
  const inputs = readdirSync(source).map((name) => join(source, name));
  return [...inputs, fileURLToPath(import.meta.url)].every((file) => statSync(file).mtimeMs < built);
}

async function build(cxx, { target, objects }) {
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(join(dirname(target), 'kernels-'));
  try {
    const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');
    const common = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', `-I${headers}`, '-c'];
    const compiled = await Promise.all(
      Object.entries(objects).map(async ([name, args]) => {
        const object = join(work, `${name}.o`);
        await run(cxx, [...common, ...args, '-o', object]);
        return object;
      }),
    );
    const link = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : ['-pthread'];
    const output = join(work, 'addon.node');
    await run(cxx, ['-shared', ...compiled, ...link, '-o', output]);
    renameSync(output, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

for (const addon of ADDONS) {
  const { target, what, native, otherwise } = addon;
  try {
    if (!upToDate(addon)) {
      const cxx = await compiler();
      if (cxx === undefined) {
        rmSync(target, { force: true });
        console.log(`${what}: ${otherwise} (no C++ compiler found for the faster native code)`);
      } else await build(cxx, addon);
    }
    if (existsSync(target)) console.log(`${what}: ${native(createRequire(import.meta.url)(target))}`);
  } catch (error) {
    rmSync(target, { force: true });
    const reason = String(error.stderr || error.message)
      .trim()
      .split('\n')
      .find((line) => /error/i.test(line));
    console.log(`${what}: ${otherwise} (native build failed: ${reason ?? error.message.split('\n')[0]})`);
  }
}
