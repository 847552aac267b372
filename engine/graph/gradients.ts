import type { Node } from './node.ts';
import { add } from './ops/arithmetic.ts';
import { sameShape, showShape } from './shape.ts';

/**
 * Reverse-mode derivatives of a scalar loss. Nodes on which the loss does not depend are absent from the result.
 * The gradients are nodes of the same graph, so they can be differentiated, combined or fed to an optimiser.
 */
export function gradients(loss: Node, wrt: Iterable<Node>): Map<Node, Node> {
  if (loss.shape.length !== 0) throw new Error(`gradients: the loss has shape ${showShape(loss.shape)}, not a scalar`);
  const targets = new Set(wrt);
  const { graph } = loss;

  // Ids are a topological order: forwards, what depends on a target; backwards, what the loss depends on.
  const depends = new Uint8Array(loss.id + 1);
  for (let id = 0; id <= loss.id; id++) {
    const node = graph.nodes[id]!;
    if (targets.has(node) || node.inputs.some((x) => depends[x.id] === 1)) depends[id] = 1;
  }
  const gradient = new Map<Node, Node>([[loss, graph.constant(1)]]);
  for (let id = loss.id; id >= 0; id--) {
    const node = graph.nodes[id]!;
    const g = gradient.get(node);
    if (g === undefined || depends[id] === 0 || !node.inputs.some((x) => depends[x.id] === 1)) continue;
    if (node.op.gradient === undefined) throw new Error(`gradients: ${node.op.name} is not differentiable`);
    const parts = node.op.gradient(node, g);
    node.inputs.forEach((x, i) => {
      const part = parts[i];
      if (part === undefined || depends[x.id] === 0) return;
      if (!sameShape(part.shape, x.shape))
        throw new Error(`gradients: ${node.op.name} gave ${showShape(part.shape)} for ${showShape(x.shape)}`);
      const sofar = gradient.get(x);
      gradient.set(x, sofar === undefined ? part : add(sofar, part));
    });
  }
  return new Map([...targets].flatMap((t) => (gradient.has(t) ? [[t, gradient.get(t)!] as const] : [])));
}
