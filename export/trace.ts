/**
 * Trace: records what `model/forward.ts` does as a graph and recognises in it the blocks that the suite has gates for. The
 * later passes read parameter names from here only, so a change of the forward pass is refused instead of exported wrongly.
 */
import { RefusedError } from '../common/errors.ts';
import type { HiddenAct, ModelConfig } from '../model/config.ts';
import { forward } from '../model/forward.ts';
import type { Normaliser, Ops } from '../model/ops.ts';

type Kind = 'embed' | 'layerNorm' | 'linear' | 'scores' | 'normalise' | 'context' | 'activation' | 'add' | 'firstToken' | 'tanh'; // prettier-ignore

/** One recorded operation. */
export interface Traced {
  readonly kind: Kind;
  readonly in: readonly Traced[];
  /** Parameter prefix of embed, layerNorm and linear. */
  readonly name?: string;
  readonly eps?: number;
  readonly normaliser?: Normaliser;
  readonly act?: HiddenAct;
}

export interface LayerBlock {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly normaliser: Normaliser;
  readonly output: string;
  readonly norm1: string;
  readonly inner: string;
  readonly act: HiddenAct;
  readonly outer: string;
  readonly norm2: string;
}

/** A BERT classifier by the names of its parameters. */
export interface Structure {
  readonly embeddings: string;
  readonly embeddingNorm: string;
  readonly eps: number;
  readonly layers: readonly LayerBlock[];
  readonly pooler: string;
  readonly classifier: string;
}

class TraceOps implements Ops<Traced> {
  embed(prefix: string): Traced {
    return { kind: 'embed', in: [], name: prefix };
  }
  layerNorm(x: Traced, name: string, eps: number): Traced {
    return { kind: 'layerNorm', in: [x], name, eps };
  }
  linear(x: Traced, name: string): Traced {
    return { kind: 'linear', in: [x], name };
  }
  scores(q: Traced, k: Traced): Traced {
    return { kind: 'scores', in: [q, k] };
  }
  normalise(scores: Traced, normaliser: Normaliser): Traced {
    return { kind: 'normalise', in: [scores], normaliser };
  }
  context(weights: Traced, v: Traced): Traced {
    return { kind: 'context', in: [weights, v] };
  }
  activation(x: Traced, act: HiddenAct): Traced {
    return { kind: 'activation', in: [x], act };
  }
  add(x: Traced, y: Traced): Traced {
    return { kind: 'add', in: [x, y] };
  }
  firstToken(x: Traced): Traced {
    return { kind: 'firstToken', in: [x] };
  }
  tanh(x: Traced): Traced {
    return { kind: 'tanh', in: [x] };
  }
  dropout(x: Traced): Traced {
    return x;
  }
  probe(): void {}
}

/** The graph of the logits of a model. */
export const trace = (config: ModelConfig): Traced => forward(new TraceOps(), config);

/**
 * Reads a traced graph backwards from the logits.
 * @throws RefusedError if a block is none the suite computes
 */
export function recognise(logits: Traced): Structure {
  const layers: LayerBlock[] = [];
  const tanh = input(expect(logits, 'linear'), 'tanh');
  const pooler = input(tanh, 'linear');
  let h = input(input(pooler, 'firstToken'), 'layerNorm');
  const { eps } = h;
  while (h.in[0]!.kind !== 'embed') {
    if (h.eps !== eps) differs('one ε in all LayerNorms');
    const [outer, a] = residual(h);
    const activation = input(outer, 'activation');
    const inner = input(activation, 'linear');
    if (inner.in[0] !== a || a.kind !== 'layerNorm') differs('a feed-forward block on the attention output');
    const [output, x] = residual(a);
    const context = input(output, 'context');
    const [weights, value] = [expect(context.in[0]!, 'normalise'), expect(context.in[1]!, 'linear')];
    const scores = input(weights, 'scores');
    const [query, key] = [expect(scores.in[0]!, 'linear'), expect(scores.in[1]!, 'linear')];
    if ([query, key, value].some((t) => t.in[0] !== x)) differs('queries, keys and values of one hidden state');
    layers.unshift({
      query: query.name!,
      key: key.name!,
      value: value.name!,
      normaliser: weights.normaliser!,
      output: output.name!,
      norm1: a.name!,
      inner: inner.name!,
      act: activation.act!,
      outer: outer.name!,
      norm2: h.name!,
    });
    h = expect(x, 'layerNorm');
  }
  return {
    embeddings: h.in[0]!.name!,
    embeddingNorm: h.name!,
    eps: eps!,
    layers,
    pooler: pooler.name!,
    classifier: logits.name!,
  };
}

function differs(expected: string): never {
  throw new RefusedError(`trace: the forward pass is not ${expected}`, 'use a BERT-family sequence classifier');
}

function expect(node: Traced, kind: Kind): Traced {
  return node.kind === kind ? node : differs(`a ${kind} where it has ${node.kind} ${node.name ?? ''}`);
}

const input = (node: Traced, kind: Kind): Traced => expect(node.in[0]!, kind);

/** LayerNorm(linear + x) → [linear, x]. */
function residual(norm: Traced): [Traced, Traced] {
  const [block, x] = input(norm, 'add').in as [Traced, Traced];
  return [expect(block, 'linear'), x];
}

const REMEDY =
  'distil a student the suite can run first: train-distill student (softmax_act 2quad_centred, hidden_act gelu)';

/**
 * The structure of a model that the masked suite can run.
 * @throws RefusedError for softmax, 2relu, relu and quad, naming the remedy
 */
export function structure(config: ModelConfig): Structure {
  const found = recognise(trace(config));
  for (const { normaliser, act } of found.layers) {
    if (normaliser.act !== '2quad' && normaliser.act !== '2quad_centred')
      throw new RefusedError(`softmax_act ${normaliser.act}: the masked suite runs 2quad and 2quad_centred`, REMEDY);
    if (act !== 'gelu' && act !== 'gelu_new')
      throw new RefusedError(`hidden_act ${act}: the masked suite runs gelu and gelu_new`, REMEDY);
  }
  if (config.type_vocab_size > 2)
    throw new RefusedError(`type_vocab_size ${config.type_vocab_size}: the masked suite runs 1 or 2`, 'use a checkpoint with at most two token types'); // prettier-ignore
  return found;
}
