import { afterEach, expect, it, vi } from 'vitest';
import { progress } from '../../cli/ui/progress.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it('estimates the time left from the units of this process alone', () => {
  vi.useFakeTimers();
  let said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((said += String(text)), true));
  const bar = progress('Stage', false, 90);
  vi.advanceTimersByTime(20_000);
  bar.update(92, 100);
  // Two units in 20 s, eight to go.
  expect(said).toContain('92/100 · 1m20s left');
  bar.stop();
});
