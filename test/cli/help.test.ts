/** What `secure-infer --help` and its subcommands' say, by the real command (`dist/` must be built, as `npm test` does). */
import { afterEach, expect, it } from 'vitest';
import { endAll, secureInfer } from '../support/processes.ts';

afterEach(endAll);

const SUBCOMMANDS = ['local', 'ask', 'evaluate', 'party', 'assistant', 'deal', 'keygen', 'interpret', 'explain'];

it('lists every subcommand', async () => {
  const { out } = await secureInfer('--help');
  const listed = [...out.matchAll(/^ {2}([a-z]+) (?:\[|<)/gm)].map(([, name]) => name);
  expect(listed.filter((name) => name !== 'help')).toEqual(SUBCOMMANDS);
});

it.each(['', ...SUBCOMMANDS])('%s has examples, exit codes, and defaults where an option has one', async (name) => {
  const { code, out } = await secureInfer(...(name === '' ? [] : [name]), '--help');
  expect(code).toBe(0);
  expect(out).toMatch(/Examples?:\n {2}secure-infer /);
  for (const exit of [0, 1, 2, 3, 4, 130]) expect(out).toMatch(new RegExp(`Exit codes:[^]*\\b${exit} [a-z]`));
  const options = out.replaceAll(/\n {10,}/g, ' ');
  for (const flag of ['truncate', 'seed', 'timeout', 'batch', 'count', 'port', 'stock', 'examples', 'deployment']) {
    const [line] = new RegExp(`^ {2}--${flag} .*`, 'm').exec(options) ?? [];
    const exempt = { assistant: ['stock'], deal: ['deployment'] }[name] ?? [];
    if (line !== undefined && !exempt.includes(flag)) expect(line).toContain('default');
  }
});
