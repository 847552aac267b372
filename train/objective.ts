/** What a stage minimises, as nodes of one graph: student, teacher, weighted losses. */
import { InputError } from '../common/errors.ts';
import { CounterRandom } from '../common/random.ts';
import { bertGraph, type DropoutSite } from '../engine/bert.ts';
import { add, Graph, matmul, mul, product, reshape, type Node } from '../engine/graph/index.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { crossEntropy } from './loss/cross-entropy.ts';
import { hiddenLoss, scoreLoss, type Probes } from './loss/layers.ts';
import { meanSquaredError } from './loss/mean-squared-error.ts';
import { rangePenalty } from './loss/range-penalty.ts';
import { softCrossEntropy } from './loss/soft-cross-entropy.ts';
import { layerMap } from './preset.ts';
import type { Tensors } from './predict.ts';
import type { Stage } from './recipe/recipe.ts';

/** Before the names of the teacher's parameters in graph and state. */
export const TEACHER = 'teacher:';

/** Before the names of what is learned only to compare a student with a wider teacher: no part of the student. */
export const PROJECTION = 'projection.';

export interface Objective {
  readonly graph: Graph;
  readonly outputs: Record<string, Node>;
  /** Of the student, and projections. */
  readonly parameters: ReadonlyMap<string, Node>;
  /** First values of the projections. */
  readonly initial: Tensors;
  readonly loss: Node;
  /** Kinds of terms that ask for a share, fed as `SHARE` + kind; empty unless asked for. */
  readonly shares: readonly string[];
  readonly dropoutSites: readonly DropoutSite[];
}

/** Before the name of a kind of loss: the input that says what share of a batch's mean this part of it stands for. */
export const SHARE = 'share.';

export interface ObjectiveOptions {
  /** Of the cross-entropy with the labels, one per class; absent: all alike. */
  readonly classWeights?: readonly number[] | undefined;
  /** Multiply every term by an input `SHARE` + its kind, for batches computed in parts. */
  readonly shares?: boolean;
}

/** What a stage compares the student with. */
export interface Guide {
  readonly config: ModelConfig;
  /** Teacher layer, from 1, that each student layer learns from; absent: evenly spread (`preset.ts`). */
  readonly layerMap?: readonly number[] | undefined;
}

/**
 * Losses of a stage as nodes of one graph; the teacher, if the losses need it, runs in the same step without dropout. Hidden
 * states of a student of another width are compared through learned projections, one for the embeddings and one for all
 * layers (TinyBERT, Jiao et al. 2020, equations 8 and 9), which begin random by `seed`.
 * @throws InputError if scores are to be compared and the heads differ in number
 */
export function buildObjective(
  stage: Stage,
  config: ModelConfig,
  teacher: Guide | undefined,
  seed: number,
  { classWeights, shares = false }: ObjectiveOptions = {},
): Objective {
  const graph = new Graph();
  const parameters = new Map(
    [...parameterShapes(config)].map(([name, shape]) => [name, graph.parameter(name, shape)] as const),
  );
  const initial = new Map<string, { shape: number[]; data: Float32Array }>();
  const rates = stage.dropout;
  const trained: ModelConfig =
    rates === undefined
      ? config
      : { ...config, hidden_dropout_prob: rates, attention_probs_dropout_prob: rates, classifier_dropout: rates };
  const { losses, layerConvention, temperature, softConvention } = stage;
  const compared = losses.hidden + losses.scores > 0;
  const { logits, ops } = bertGraph(trained, {
    graph,
    parameter: (name) => parameters.get(name)!,
    dropout: true,
    // As Hugging Face: the padding token's embedding is not trained.
    paddingId: 0,
    firstTokenOnly: !compared && losses.ranges === 0,
  });
  const regression = config.num_labels === 1;
  const terms: [string, number, Node][] = [];
  const layerTerms = new Map<string, Node>();
  if (losses.labels > 0) {
    const target = graph.input('targets', regression ? 'float32' : 'int64', ['B']);
    const loss = regression ? meanSquaredError(logits, target) : crossEntropy(logits, target, classWeights);
    terms.push(['labels', losses.labels, loss]);
  }
  if (losses.logits + losses.hidden + losses.scores > 0) {
    const shapes = parameterShapes(teacher!.config);
    const guide = bertGraph(teacher!.config, {
      graph,
      parameter: (name) => graph.parameter(TEACHER + name, shapes.get(name)!),
      firstTokenOnly: !compared,
    });
    const layers = config.num_hidden_layers;
    if (losses.logits > 0) {
      // The softmax of a single output is constant: regression compares the outputs themselves.
      const loss = regression
        ? meanSquaredError(logits, guide.logits)
        : softCrossEntropy(logits, guide.logits, temperature, softConvention);
      terms.push(['logits', losses.logits, loss]);
    }
    const map = layerMap(teacher!.config.num_hidden_layers, layers, teacher!.layerMap);
    const width = teacher!.config.hidden_size;
    const project = (x: Node, name: string): Node => {
      const own = config.hidden_size;
      if (own === width) return x;
      const full = `${PROJECTION}${name}.weight`;
      if (!initial.has(full)) {
        const shape = [own, width];
        const data = new CounterRandom(seed, 'initial', full).fillNormal(new Float32Array(own * width), 0, own ** -0.5);
        initial.set(full, { shape, data });
        parameters.set(full, graph.parameter(full, shape));
      }
      const [b, l] = x.shape;
      return reshape(matmul(reshape(x, [product(b!, l!), own]), parameters.get(full)!), [b!, l!, width]);
    };
    // Both under the student's numbers, and as wide as the teacher.
    const hiddenPairs = (): readonly [Probes, Probes] => {
      const [mine, its] = [new Map<string, Node>(), new Map<string, Node>()];
      for (let l = 0; l <= layers; l++) {
        mine.set(`hidden.${l}`, project(ops.probes.get(`hidden.${l}`)!, l === 0 ? 'embeddings' : 'layers'));
        its.set(`hidden.${l}`, guide.ops.probes.get(`hidden.${l === 0 ? 0 : map[l - 1]!}`)!);
      }
      return [mine, its];
    };
    if (losses.hidden > 0) {
      const hidden = hiddenLoss(...hiddenPairs(), ops.mask, layers, layerConvention);
      terms.push(['hidden', losses.hidden, hidden.sum]);
      for (const [name, node] of hidden.terms) layerTerms.set(name, node);
    }
    if (losses.scores > 0) {
      const centred = stage.centredScores ?? config.softmax_act === '2quad_centred';
      const [own, its] = [config.num_attention_heads, teacher!.config.num_attention_heads];
      if (own !== its) {
        throw new InputError(
          `stage ${stage.name} compares scores head by head: the student has ${own} heads, its teacher ${its}`,
          'Give the student as many heads, or choose a recipe without the loss `scores`.',
        );
      }
      const guided = new Map(map.map((g, l) => [`scores.${l}`, guide.ops.probes.get(`scores.${g - 1}`)!] as const));
      const scores = scoreLoss(ops.probes, guided, ops.mask, layers, layerConvention, centred);
      terms.push(['scores', losses.scores, scores.sum]);
      for (const [name, node] of scores.terms) layerTerms.set(name, node);
    }
  }
  if (losses.ranges > 0) terms.push(['ranges', losses.ranges, rangePenalty(ops.probes, ops.mask, config)]);
  const asked = shares ? terms.map(([kind]) => kind) : [];
  const shareOf = new Map(asked.map((kind) => [kind, graph.input(SHARE + kind, 'float32', [])] as const));
  // Layer terms are called after their kind: hidden.3.
  const shared = (name: string, node: Node): Node => {
    const share = shareOf.get(name.replace(/\..*/, ''));
    return share === undefined ? node : mul(node, share);
  };
  const parts = terms.map(([name, weight, node]) => [name, weight, shared(name, node)] as const);
  const loss = parts.map(([, weight, node]) => mul(node, weight)).reduce((a, b) => add(a, b));
  const outputs: Record<string, Node> = { loss };
  for (const [name, node] of layerTerms) outputs[name] = shared(name, node);
  if (parts.length > 1) for (const [name, , node] of parts) outputs[name] = node;
  return { graph, outputs, parameters, initial, loss, shares: asked, dropoutSites: ops.dropoutSites };
}
