/** Where a program has LayerNorms, and in which rings and scales. */
import type { Plan, Scales } from './plan.ts';

/** One LayerNorm of the program: key, ring and scale of its input, ring of its output. */
export interface NormSite {
  readonly key: string;
  readonly nIn: number;
  readonly ft: number;
  readonly nOut: number;
}

/** Every LayerNorm of a plan with its input and output rings. */
export function normSites(plan: Pick<Plan, keyof Scales | 'fz' | 'ne' | 'nPool' | 'layers'>): NormSite[] {
  const sites: NormSite[] = [
    { key: 'emb', nIn: plan.ne - (plan.fe - plan.ft_e), ft: plan.ft_e, nOut: plan.layers[0]!.nEx },
  ];
  const drop = plan.fz - plan.ft;
  plan.layers.forEach((q, l) => {
    sites.push({ key: `${l}.ln1`, nIn: q.nO - drop, ft: plan.ft, nOut: q.nE1 });
    sites.push({ key: `${l}.ln2`, nIn: q.nZ - drop, ft: plan.ft, nOut: plan.layers[l + 1]?.nEx ?? plan.nPool });
  });
  return sites;
}
