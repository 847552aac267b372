// Compiles the ring kernels to build/kernels.node where a C++ compiler is found; else the committed WebAssembly serves.
// Prints one line which kernels are in use and never fails: native code is an acceleration, not a requirement.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'ring', 'kernels', 'src');
const target = join(root, 'build', 'kernels.node');

const SETS = {
  portable: [],
  ...(process.arch === 'x64' && {
    avx2: ['-mavx2', '-maes'],
    avx512: ['-mavx512f', '-mavx512dq', '-mavx512bw', '-mavx512vl', '-mavx512ifma', '-maes'],
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

function upToDate() {
  if (!existsSync(target)) return false;
  const built = statSync(target).mtimeMs;
  const inputs = readdirSync(source).map((name) => join(source, name));
  return [...inputs, fileURLToPath(import.meta.url)].every((file) => statSync(file).mtimeMs < built);
}

async function build(cxx) {
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(join(dirname(target), 'kernels-'));
  try {
    const common = ['-std=c++17', '-O3', '-fPIC', '-fvisibility=hidden', '-c'];
    const { include_dir: headers } = createRequire(import.meta.url)('node-api-headers');
    const jobs = Object.entries(SETS).map(([isa, flags]) => ({
      object: join(work, `${isa}.o`),
      args: [...flags, `-DRING_ISA=${isa}`, join(source, 'all.cc')],
    }));
    const x86 = 'avx2' in SETS ? ['-DRING_X86'] : [];
    jobs.push({ object: join(work, 'addon.o'), args: [...x86, `-I${headers}`, join(source, 'addon.cc')] });
    await Promise.all(jobs.map(({ object, args }) => run(cxx, [...common, ...args, '-o', object])));
    const link = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : ['-pthread'];
    const output = join(work, 'kernels.node');
    await run(cxx, ['-shared', ...jobs.map((job) => job.object), ...link, '-o', output]);
    renameSync(output, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function report() {
  const addon = createRequire(import.meta.url)(target);
  const best = addon.avx512 ? 'AVX-512' : addon.avx2 ? 'AVX2' : 'portable';
  console.log(`ring kernels: native (${best})`);
}

try {
  if (!upToDate()) {
    const cxx = await compiler();
    if (cxx === undefined) {
      rmSync(target, { force: true });
      console.log('ring kernels: WebAssembly (no C++ compiler found for the faster native ones)');
    } else await build(cxx);
  }
  if (existsSync(target)) report();
} catch (error) {
  rmSync(target, { force: true });
  const reason = String(error.stderr || error.message)
    .trim()
    .split('\n')
    .find((line) => /error/i.test(line));
  console.log(`ring kernels: WebAssembly (native build failed: ${reason ?? error.message.split('\n')[0]})`);
}
