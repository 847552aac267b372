// Runs after `npm ci`: compiles TypeScript to dist/, builds the native kernels where a C++ compiler is found (else the
// committed WebAssembly serves), and makes the three commands reachable by `npx` in this checkout.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync, chmodSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, 'node_modules', '.bin');

execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root], { stdio: 'inherit' });

mkdirSync(bin, { recursive: true });
for (const command of ['train-distill', 'export-shares', 'secure-infer']) {
  const target = join(root, 'dist', 'cli', `${command}.js`);
  if (!existsSync(target)) continue;
  chmodSync(target, 0o755);
  const link = join(bin, command);
  rmSync(link, { force: true });
  symlinkSync(relative(bin, target), link);
}

const native = join(root, 'scripts', 'build-native.mjs');
if (existsSync(native)) await import(native);
