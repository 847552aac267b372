/** Learning-rate schedules. */
export const DECAYS = ['linear', 'constant'] as const;
export type Decay = (typeof DECAYS)[number];

/**
 * Rate of the update `step`, counted from 0: linear warm-up over `warmup` updates (the first has rate 0, as in transformers'
 * `get_linear_schedule_with_warmup`), then constant or linear to 0 at `total`.
 */
export function learningRate(step: number, peak: number, warmup: number, total: number, decay: Decay): number {
  if (step < warmup) return (peak * step) / warmup;
  return decay === 'constant' ? peak : (peak * Math.max(0, total - step)) / Math.max(1, total - warmup);
}
