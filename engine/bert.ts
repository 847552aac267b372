/** The model's forward pass as a tensor graph. Shapes: see `model/ops.ts`; B and L are symbols. */
import { InputError } from '../common/errors.ts';
import type { HiddenAct, ModelConfig } from '../model/config.ts';
import { forward, type ForwardOptions } from '../model/forward.ts';
import type { Normaliser, Ops } from '../model/ops.ts';
import { activation } from './bert/activation.ts';
import { layerNorm } from './bert/layer-norm.ts';
import { normalise } from './bert/normalise.ts';
import { int64, type Feeds } from './engine.ts';
import {
  add,
  cast,
  gather,
  linear,
  matmul,
  mul,
  product,
  reshape,
  slice,
  tanh,
  transpose,
  type Dim,
  type Graph,
  type Node,
  type Shape,
} from './graph/index.ts';

/** One place where dropout acts: the input `name` of this shape must be fed with 0 or 1/(1 − rate) per element. */
export interface DropoutSite {
  /** Name of the mask input: `dropout.` + the site's name. */
  readonly name: string;
  /** As in `forward.ts`: `embeddings`, `probs.0`, … */
  readonly site: string;
  readonly shape: Shape;
  readonly rate: number;
}

export interface GraphOpsOptions {
  readonly graph: Graph;
  /** The node of a parameter by its checkpoint name, usually a `graph.parameter`. */
  readonly parameter: (name: string) => Node;
  /** Apply dropout at the rates of the configuration (training); off by default. */
  readonly dropout?: boolean;
  /**
   * Word id whose embedding gets no gradient, as Hugging Face's padding_idx = 0 does; without it every row has its plain
   * derivative. The two differ where padded positions enter the loss.
   */
  readonly paddingId?: number;
  /** The model's inputs; absent: `bertInputs`. */
  readonly inputs?: BertInputs;
  /** Prefix of the names of dropout inputs, so that two models may share a graph. */
  readonly prefix?: string;
}

export const BATCH: Dim = 'B';
export const LENGTH: Dim = 'L';

/** The model's inputs: `ids`, `types`, `mask` (1 = real token), int64 (B, L). Models in one graph share them. */
export interface BertInputs {
  readonly ids: Node;
  readonly types: Node;
  readonly mask: Node;
}

/** Declares (or finds) the model's inputs in a graph. */
export function bertInputs(graph: Graph): BertInputs {
  const input = (name: string): Node => graph.input(name, 'int64', [BATCH, LENGTH]);
  return { ids: input('ids'), types: input('types'), mask: input('mask') };
}

/** Feeds for `bertInputs` from a padded batch, row-major (batch, length). */
export function bertFeeds(batch: {
  readonly batch: number;
  readonly length: number;
  readonly ids: Int32Array;
  readonly types: Int32Array;
  readonly mask: Int32Array;
}): Feeds {
  const shape = [batch.batch, batch.length];
  return { ids: int64(shape, batch.ids), types: int64(shape, batch.types), mask: int64(shape, batch.mask) };
}

/** Operations of `forward` as graph nodes. `probes` and `dropoutSites` fill as the pass is traced. */
export class GraphOps implements Ops<Node> {
  readonly graph: Graph;
  readonly inputs: BertInputs;
  /** (B, L) as float32, 1 for a real token. */
  readonly mask: Node;
  readonly probes = new Map<string, Node>();
  readonly dropoutSites: DropoutSite[] = [];
  readonly #parameter: (name: string) => Node;
  readonly #dropout: boolean;
  readonly #prefix: string;
  readonly #paddingId: number | undefined;

  constructor(options: GraphOpsOptions) {
    this.graph = options.graph;
    this.inputs = options.inputs ?? bertInputs(options.graph);
    this.mask = cast(this.inputs.mask, 'float32');
    this.#parameter = options.parameter;
    this.#dropout = options.dropout ?? false;
    this.#prefix = options.prefix ?? '';
    this.#paddingId = options.paddingId;
  }

  embed(prefix: string): Node {
    const table = (name: string): Node => this.#parameter(`${prefix}.${name}_embeddings.weight`);
    const positions = slice(table('position'), 0, 0, LENGTH);
    return add(
      add(gather(table('word'), this.inputs.ids, this.#paddingId), gather(table('token_type'), this.inputs.types)),
      positions,
    );
  }

  layerNorm(x: Node, name: string, eps: number): Node {
    return layerNorm(x, this.#parameter(`${name}.weight`), this.#parameter(`${name}.bias`), eps);
  }

  linear(x: Node, name: string): Node {
    const weight = this.#parameter(`${name}.weight`);
    const rows = product(...x.shape.slice(0, -1));
    const y = linear(reshape(x, [rows, x.shape.at(-1)!]), weight, this.#parameter(`${name}.bias`));
    return reshape(y, [...x.shape.slice(0, -1), weight.shape[0]!]);
  }

  scores(q: Node, k: Node, heads: number): Node {
    const size = (q.shape.at(-1) as number) / heads;
    return matmul(this.#split(q, heads), this.#split(k, heads), { transposeB: true, alpha: 1 / Math.sqrt(size) });
  }

  normalise(scores: Node, normaliser: Normaliser): Node {
    return normalise(scores, this.mask, normaliser);
  }

  context(weights: Node, v: Node, heads: number): Node {
    const merged = transpose(matmul(weights, this.#split(v, heads)), [0, 2, 1, 3]);
    const [b, , h] = v.shape;
    return reshape(merged, weights.shape[2] === v.shape[1] ? v.shape : [b!, h!]);
  }

  activation(x: Node, act: HiddenAct): Node {
    return activation(x, act);
  }

  add(x: Node, y: Node): Node {
    return add(x, y);
  }

  firstToken(x: Node): Node {
    return reshape(slice(x, 1, 0, 1), [x.shape[0]!, x.shape[2]!]);
  }

  tanh(x: Node): Node {
    return tanh(x);
  }

  dropout(x: Node, rate: number, site: string): Node {
    if (!this.#dropout || rate === 0) return x;
    if (!(rate > 0 && rate < 1)) throw new InputError(`dropout rate ${rate} at ${site}`, 'a rate lies in [0, 1)');
    const name = `${this.#prefix}dropout.${site}`;
    this.dropoutSites.push({ name, site, shape: x.shape, rate });
    return mul(x, this.graph.input(name, 'float32', x.shape));
  }

  probe(name: string, x: Node): void {
    this.probes.set(name, x);
  }

  /** (B, L, H) → (B, A, L, D); (B, H) → (B, A, 1, D). */
  #split(x: Node, heads: number): Node {
    const [b, l, h] = (x.shape.length === 2 ? [x.shape[0], 1, x.shape[1]] : x.shape) as [Dim, Dim, number];
    return transpose(reshape(x, [b, l, heads, h / heads]), [0, 2, 1, 3]);
  }
}

/** Traces the whole classifier: logits (B, C) and everything probed on the way. */
export function bertGraph(
  config: ModelConfig,
  options: GraphOpsOptions & ForwardOptions,
): { readonly logits: Node; readonly ops: GraphOps } {
  const ops = new GraphOps(options);
  return { logits: forward(ops, config, options), ops };
}
