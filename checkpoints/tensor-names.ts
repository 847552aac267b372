/** From the names a Hugging Face BERT checkpoint may use to the canonical ones of `model/names.ts`. */

/** Buffers that older transformers versions stored; they hold 0, 1, 2, … and are no parameters. */
const BUFFER = /^(bert\.)?embeddings\.(position_ids|token_type_ids)$/;
const ENCODER = /^(embeddings|encoder|pooler)\./;
const OLD_LAYER_NORM: Readonly<Record<string, string>> = { gamma: 'weight', beta: 'bias' };

/**
 * The canonical name: with `bert.` before the encoder (base models leave it out), LayerNorm's `gamma` and `beta`
 * (checkpoints converted from TensorFlow) as `weight` and `bias`; undefined for buffers that are no parameters.
 */
export function canonicalName(name: string): string | undefined {
  if (BUFFER.test(name)) return undefined;
  const full = ENCODER.test(name) ? `bert.${name}` : name;
  return full.replace(/(?<=\.LayerNorm\.)(gamma|beta)$/, (old) => OLD_LAYER_NORM[old]!);
}

/** DataParallel writes `module.` before every name; undone only if it stands before every one. */
export function withoutModulePrefix(names: Iterable<string>): (name: string) => string {
  const all = [...names];
  const wrapped = all.length > 0 && all.every((name) => name.startsWith('module.'));
  return wrapped ? (name) => name.slice('module.'.length) : (name) => name;
}
