/** Kernels that count the time spent in them, for measurements. */
import type { Kernels } from './kernels.ts';

/** Seconds and calls by kernel. */
export type KernelTimes = Record<string, { seconds: number; calls: number }>;

/** The same kernels; what `times` returns grows with every call. */
export function timed(kernels: Kernels, times: () => KernelTimes): Kernels {
  const entries = Object.entries(kernels).map(([name, value]) => {
    if (typeof value !== 'function' || name === 'setThreads') return [name, value] as const;
    const kernel = value as (...args: unknown[]) => unknown;
    const counted = (...args: unknown[]): unknown => {
      const start = performance.now();
      const result = kernel(...args);
      const entry = (times()[name] ??= { seconds: 0, calls: 0 });
      entry.seconds += (performance.now() - start) / 1000;
      entry.calls++;
      return result;
    };
    return [name, counted] as const;
  });
  return Object.fromEntries(entries) as unknown as Kernels;
}
