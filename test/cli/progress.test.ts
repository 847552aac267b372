import { afterEach, expect, it, vi } from 'vitest';
import { progress } from '../../cli/ui/progress.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** What is said, with the clock in the test's hands. */
function listen(): () => string {
  vi.useFakeTimers();
  let said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((said += String(text)), true));
  return () => said;
}

it('estimates the time left from the units of this process alone, once there is more than one', () => {
  const said = listen();
  const bar = progress('Stage');
  vi.advanceTimersByTime(20_000);
  // 90 of them were done by an earlier process, and the start took its time.
  bar.update(91, 100);
  expect(said()).toContain('91/100');
  expect(said()).not.toContain('left');
  vi.advanceTimersByTime(20_000);
  bar.update(93, 100);
  // Two units in 20 s, seven to go.
  expect(said()).toContain('93/100 · 1m10s left');
  bar.stop();
});

it('estimates nothing from the first batch, whose units come together', () => {
  const said = listen();
  const bar = progress('Asking');
  vi.advanceTimersByTime(21_000);
  for (let done = 1; done <= 16; done++) {
    bar.update(done, 60);
    vi.advanceTimersByTime(1);
  }
  expect(said()).not.toContain('left');
  vi.advanceTimersByTime(21_000 - 16);
  bar.update(17, 60);
  // The first of the second batch: 16 units in 21 s, 43 to go.
  expect(said()).toContain('17/60 · 56s left');
  bar.stop();
});

it('rounds before it splits into minutes and seconds', () => {
  const said = listen();
  const bar = progress('Stage');
  bar.update(1, 3);
  vi.advanceTimersByTime(119_700);
  bar.update(2, 3);
  expect(said()).toContain('2m00s left');
  bar.stop();
});
