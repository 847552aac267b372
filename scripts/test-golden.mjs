// Every test on golden files and specification vectors. Unlike `npm test` it never skips: a folder that is absent or holds no
// case fails. GOLDEN_DIR, SPEC_DIR and DATA_DIR name other files of the same kind.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
const { status } = spawnSync(process.execPath, [vitest, 'run', '.golden.', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, GOLDEN_REQUIRED: '1' },
});
process.exit(status ?? 1);
