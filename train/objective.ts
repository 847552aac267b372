/** What a stage minimises, as nodes of one graph: student, teacher, weighted losses. */
import { bertGraph, type DropoutSite } from '../engine/bert.ts';
import { add, Graph, mul, type Node } from '../engine/graph/index.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import { crossEntropy } from './loss/cross-entropy.ts';
import { hiddenLoss, scoreLoss } from './loss/layers.ts';
import { meanSquaredError } from './loss/mean-squared-error.ts';
import { rangePenalty } from './loss/range-penalty.ts';
import { softCrossEntropy } from './loss/soft-cross-entropy.ts';
import type { Stage } from './recipe/recipe.ts';

/** Before the names of the teacher's parameters in graph and state. */
export const TEACHER = 'teacher:';

export interface Objective {
  readonly graph: Graph;
  readonly outputs: Record<string, Node>;
  readonly parameters: ReadonlyMap<string, Node>;
  readonly loss: Node;
  readonly dropoutSites: readonly DropoutSite[];
}

/** Losses of a stage as nodes of one graph; the teacher, if the losses need it, runs in the same step without dropout. */
export function buildObjective(stage: Stage, config: ModelConfig, teacher: ModelConfig | undefined): Objective {
  const graph = new Graph();
  const shapes = parameterShapes(config);
  const parameters = new Map([...shapes].map(([name, shape]) => [name, graph.parameter(name, shape)] as const));
  const rates = stage.dropout;
  const trained: ModelConfig =
    rates === undefined
      ? config
      : { ...config, hidden_dropout_prob: rates, attention_probs_dropout_prob: rates, classifier_dropout: rates };
  const { logits, ops } = bertGraph(trained, {
    graph,
    parameter: (name) => parameters.get(name)!,
    dropout: true,
    // As Hugging Face: the padding token's embedding is not trained.
    paddingId: 0,
  });
  const { losses, layerConvention, temperature, softConvention } = stage;
  const regression = config.num_labels === 1;
  const terms: [string, number, Node][] = [];
  const layerTerms = new Map<string, Node>();
  if (losses.labels > 0) {
    const target = graph.input('targets', regression ? 'float32' : 'int64', ['B']);
    terms.push(['labels', losses.labels, regression ? meanSquaredError(logits, target) : crossEntropy(logits, target)]);
  }
  if (losses.logits + losses.hidden + losses.scores > 0) {
    const guide = bertGraph(teacher!, {
      graph,
      parameter: (name) => graph.parameter(TEACHER + name, shapes.get(name)!),
    });
    const layers = config.num_hidden_layers;
    if (losses.logits > 0) {
      // The softmax of a single output is constant: regression compares the outputs themselves.
      const loss = regression
        ? meanSquaredError(logits, guide.logits)
        : softCrossEntropy(logits, guide.logits, temperature, softConvention);
      terms.push(['logits', losses.logits, loss]);
    }
    const probes = [ops.probes, guide.ops.probes] as const;
    if (losses.hidden > 0) {
      const hidden = hiddenLoss(...probes, ops.mask, layers, layerConvention);
      terms.push(['hidden', losses.hidden, hidden.sum]);
      for (const [name, node] of hidden.terms) layerTerms.set(name, node);
    }
    if (losses.scores > 0) {
      const centred = stage.centredScores ?? config.softmax_act === '2quad_centred';
      const scores = scoreLoss(...probes, ops.mask, layers, layerConvention, centred);
      terms.push(['scores', losses.scores, scores.sum]);
      for (const [name, node] of scores.terms) layerTerms.set(name, node);
    }
  }
  if (losses.ranges > 0) terms.push(['ranges', losses.ranges, rangePenalty(ops.probes, ops.mask, config)]);
  const loss = terms.map(([, weight, node]) => mul(node, weight)).reduce((a, b) => add(a, b));
  const outputs: Record<string, Node> = { loss, ...Object.fromEntries(layerTerms) };
  if (terms.length > 1) for (const [name, , node] of terms) outputs[name] = node;
  return { graph, outputs, parameters, loss, dropoutSites: ops.dropoutSites };
}
