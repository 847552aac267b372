/** Where the processor time of a role goes, for measurements. */
import { PerformanceObserver } from 'node:perf_hooks';
import { kernels, setKernels } from '../../ring/index.ts';
import { timed, type KernelTimes } from '../../ring/kernels/timed.ts';

/** What a role spent since it last told: CPU seconds of all its threads; of each kernel and in collections where it profiles. */
export interface Spent {
  readonly cpuSeconds: number;
  readonly kernels?: KernelTimes;
  readonly collectorSeconds?: number;
}

let used = process.cpuUsage();
let profile: { kernels: KernelTimes; collectorSeconds: number } | undefined;

/** From here on kernels and garbage collections are timed. */
export function startProfile(): void {
  profile = { kernels: {}, collectorSeconds: 0 };
  setKernels(timed(kernels(), () => profile!.kernels));
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) profile!.collectorSeconds += duration / 1000;
  }).observe({ entryTypes: ['gc'] });
}

/** Since the last call. */
export function spent(): Spent {
  const { user, system } = process.cpuUsage(used);
  used = process.cpuUsage();
  const result = { cpuSeconds: (user + system) / 1e6, ...profile };
  if (profile !== undefined) profile = { kernels: {}, collectorSeconds: 0 };
  return result;
}
