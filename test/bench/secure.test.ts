/** The measurement itself, small: real role processes (`dist/` must be built, as `npm test` does). */
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { benchSecure } from '../../bench/secure.ts';
import { packageFile } from '../../cli/ui/package.ts';

describe.runIf(existsSync(packageFile('dist/cli/secure-infer.js')))('bench secure', () => {
  it('measures what it says: counted costs, answers near the float model', { timeout: 120_000 }, async () => {
    const figures = await benchSecure({ shape: 'bert-tiny', seq: 8, batch: 2, runs: 1, plan: 'balanced', seed: 1 });
    // Two layers: 15 rounds each and 7 more, however many texts share them.
    expect(figures.rounds).toBe(37);
    expect(figures.logitSd).toBeGreaterThan(0.8);
    // Fixed point at the default plan: a few hundredths where logits vary by about one.
    expect(figures.maxError).toBeLessThan(0.15);
    expect(figures.onlineSeconds).toBeGreaterThan(0);
    expect(figures.textsPerSecond).toBeCloseTo(2 / figures.wallSeconds, 6);
    expect(figures.framingBytes).toBeGreaterThan(0);
    expect(figures.framingBytes).toBeLessThan(5000);
    for (const peak of Object.values(figures.peakRssBytes)) expect(peak).toBeGreaterThan(50e6);
  });
});
