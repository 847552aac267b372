/** The kernels for 64-bit ARM, compiled for it and run by an emulator where both are installed; elsewhere the reason is printed. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const TOOLS = process.arch === 'arm64' ? [process.env['CXX'] ?? 'g++'] : ['aarch64-linux-gnu-g++', 'qemu-aarch64'];

const missing = TOOLS.find((tool) => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});
if (missing !== undefined) process.stdout.write(`NEON kernels not tested: no ${missing} here\n`);

it.runIf(missing === undefined)('NEON kernels are the definition, word for word', { timeout: 120_000 }, () => {
  const work = mkdtempSync(join(tmpdir(), 'neon-'));
  try {
    const source = join(root, 'ring/kernels/src');
    const program = join(work, 'check');
    const flags = ['-std=c++17', '-O3', '-Wall', '-static', `-I${source}`];
    const defined = ['-DRING_ISA=neon', '-DRING_NEON'];
    execFileSync(TOOLS[0]!, [...flags, ...defined, '-c', join(source, 'all.cc'), '-o', join(work, 'all.o')]);
    execFileSync(TOOLS[0]!, [...flags, join(root, 'test/support/kernel-check.cc'), join(work, 'all.o'), '-o', program]);
    const [run, ...args] = [...TOOLS.slice(1), program];
    expect(execFileSync(run!, args, { encoding: 'utf8' })).toMatch(/^\d{5,} words equal\n$/);
  } finally {
    rmSync(work, { recursive: true });
  }
});
