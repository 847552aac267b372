/** Which updates of a training step are Adam's, to be done in place on the host: only gradients leave the runtime, no state. */
import { FeedError, type TensorData } from './engine.ts';
import type { Node } from './graph/index.ts';
import { adamOperands, type AdamStep } from './graph/ops/adam.ts';
import type { AdamTensor, Native } from './native.ts';

type Data = TensorData['data'];

export interface InPlace {
  /** The parameters and moments that change in place. */
  readonly names: ReadonlySet<string>;
  /** What the runtime must compute for it: gradients, rows, factors. */
  readonly outputs: Readonly<Record<string, Node>>;
  /** Takes the step, given access to the state's arrays, the outputs and the feeds by name. */
  apply(
    state: (name: string) => Float32Array | undefined,
    output: (name: string) => Data,
    feed: (name: string) => Data | undefined,
  ): void;
}

const nameOf = (input: Node): string => input.attributes['name'] as string;

/** The part of the updates that are steps of `adamStep` of whole (parameter, m, v) triples. */
export function planInPlace(updates: ReadonlyMap<string, Node>, native: Native, threads: number): InPlace {
  const names = new Set<string>();
  const outputs: Record<string, Node> = {};
  const steps: AdamStep[] = [];
  const outputOf = (node: Node): string => `in-place:${node.id}`;
  const need = (node: Node): void => {
    if (node.op.name !== 'input') outputs[outputOf(node)] = node;
  };
  for (const [name, node] of updates) {
    const adam = adamOperands(node);
    if (adam === undefined) continue;
    const { step, next } = adam;
    const [m, v] = [nameOf(step.m), nameOf(step.v)];
    if (nameOf(step.parameter) !== name || updates.get(m) !== next.m || updates.get(v) !== next.v) continue;
    for (const changed of [name, m, v]) names.add(changed);
    for (const used of [step.gradient, step.rows, step.weight1, step.weight2, step.rate, step.epsilon, step.decay])
      if (used !== undefined) need(used);
    steps.push(step);
  }
  return {
    names,
    outputs,
    apply: (state, output, feed) => {
      const fed = (name: string): Data => {
        const data = feed(name) ?? state(name);
        if (data === undefined) throw new FeedError(name, 'not fed');
        return data;
      };
      const value = (node: Node): Data => (node.op.name === 'input' ? fed(nameOf(node)) : output(outputOf(node)));
      const scalar = (node: Node | undefined): number => (node === undefined ? 1 : (value(node) as Float32Array)[0]!);
      const tensors = steps.map((step): AdamTensor => {
        const factors = Float32Array.of(
          step.beta1,
          step.beta2,
          scalar(step.weight1),
          scalar(step.weight2),
          scalar(step.rate),
          scalar(step.epsilon),
          scalar(step.decay),
        );
        const held = [step.parameter, step.m, step.v].map((node) => state(nameOf(node)));
        const [p, m, v] = held as [Float32Array, Float32Array, Float32Array];
        const g = value(step.gradient) as Float32Array;
        if (step.rows === undefined) return [p, m, v, g, factors];
        const width = (step.parameter.shape as number[]).slice(1).reduce((a, d) => a * d, 1);
        return [p, m, v, g, factors, value(step.rows) as BigInt64Array, width];
      });
      native.adam(tensors, threads);
    },
  };
}
