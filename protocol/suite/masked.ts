/** The masked suite: a table from op to gate. Another protocol is another table. */
import type { GateDefinition } from '../gate.ts';
import { add } from '../gates/add.ts';
import { addKeys } from '../gates/add-keys.ts';
import { bias } from '../gates/bias.ts';
import { centre } from '../gates/centre.ts';
import { concat } from '../gates/concat.ts';
import { embedding } from '../gates/embedding.ts';
import { ext } from '../gates/ext.ts';
import { firstToken } from '../gates/first-token.ts';
import { fourier } from '../gates/fourier.ts';
import { guard } from '../gates/guard.ts';
import { lengthScale } from '../gates/length-scale.ts';
import { lift } from '../gates/lift.ts';
import { linear } from '../gates/linear.ts';
import { matmul } from '../gates/matmul.ts';
import { lookup } from '../gates/lookup.ts';
import { mergeHeads } from '../gates/merge-heads.ts';
import { open } from '../gates/open.ts';
import { outer } from '../gates/outer.ts';
import { paddedFourier } from '../gates/padded-fourier.ts';
import { padding, paddingShare } from '../gates/padding.ts';
import { phase } from '../gates/phase.ts';
import { product } from '../gates/product.ts';
import { scale } from '../gates/scale.ts';
import { square } from '../gates/square.ts';
import { sum } from '../gates/sum.ts';
import { sumTokens } from '../gates/sum-tokens.ts';
import { truncate } from '../gates/truncate.ts';
import type { Gate } from '../program.ts';

export const MASKED = 'masked';

export type Suite = { readonly [Op in Gate['op']]: GateDefinition<Extract<Gate, { op: Op }>> };

export const masked: Suite = {
  embedding, bias, open, ext, square, product, linear, matmul, fourier, truncate, centre, scale, sum, add, concat, mergeHeads,
  firstToken, phase, lift, guard, lengthScale, padding, paddingShare, addKeys, paddedFourier, sumTokens, lookup, outer,
}; // prettier-ignore

/** The definition of a gate of any op. The table pairs every op with its own gate type, which TypeScript cannot follow here. */
export const definitionOf = (gate: Pick<Gate, 'op'>): GateDefinition<Gate> =>
  masked[gate.op] as unknown as GateDefinition<Gate>;
