import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NODE_FLAGS } from '../../cli/secure-infer/local-roles.ts';

describe('node flags of roles', () => {
  it('are the same for roles started by hand and by `local`', () => {
    const [first] = readFileSync(new URL('../../cli/secure-infer.ts', import.meta.url), 'utf8').split('\n');
    expect(first).toBe(`#!/usr/bin/env -S node ${NODE_FLAGS.join(' ')}`);
  });
});
