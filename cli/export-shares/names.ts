/** What a person calls the fits of a plan. */

const PARTS: Readonly<Record<string, string>> = {
  ln1: 'LayerNorm after attention',
  ln2: 'LayerNorm after feed-forward',
  D: 'denominators',
  gelu: 'GeLU',
};

/** `0.D` and `0.D.inv` → `layer 0, denominators`; layers are counted from 0, as `secure-infer explain` counts them. */
export function fitName(wire: string): string {
  const key = wire.replace(/\.inv$/, '');
  if (key === 'emb') return 'embedding, LayerNorm';
  if (key === 'tanh') return 'pooler, tanh';
  const [, layer, part, group = ''] = /^(\d+)\.(ln[12]|D|gelu)(\d*)$/.exec(key) ?? [];
  if (part === undefined) return wire;
  return `layer ${layer}, ${PARTS[part]}${group === '' ? '' : ` (group ${group})`}`;
}
