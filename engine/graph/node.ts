import type { Dim, Shape } from './shape.ts';

export type DType = 'float32' | 'int64' | 'bool';

export type Attribute = number | string | boolean | readonly number[] | readonly Dim[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** What an op needs to write itself down as ONNX (opset 20). Values are referred to by name. */
export interface Emitter {
  /** Only ops of the ONNX standard may be used. */
  readonly standard: boolean;
  /** Appends an ONNX node and returns the name of its output. */
  node(type: string, inputs: readonly string[], attributes?: OnnxAttributes): string;
  /** The same with several outputs. */
  nodes(type: string, inputs: readonly string[], outputs: number, attributes?: OnnxAttributes): string[];
  /** A small constant. */
  constant(dtype: DType, shape: readonly number[], values: readonly number[]): string;
  /** An int64 vector holding the lengths at run time. */
  lengths(shape: Shape): string;
  /** An int64 vector (c, rows/c, columns), the shape of a matrix cut into c blocks of rows that caches hold; c may be 1. */
  blocks(rows: Dim, columns: number): string;
  /** The names of an emitted node's outputs. */
  outputs(node: Node): readonly string[];
}

/** Attributes by their ONNX type; `domain` names ONNX Runtime's own op set. */
export interface OnnxAttributes {
  readonly domain?: 'com.microsoft';
  readonly int?: Readonly<Record<string, number>>;
  readonly ints?: Readonly<Record<string, readonly number[]>>;
  readonly float?: Readonly<Record<string, number>>;
  readonly string?: Readonly<Record<string, string>>;
}

/** One kind of node: how it is emitted, and its vector-Jacobian product. */
export interface Op {
  readonly name: string;
  /** The output's name, or several. `inputs` are the names of the node's inputs. */
  emit(e: Emitter, node: Node, inputs: readonly string[]): string | readonly string[];
  /** Gradients of the node's inputs, given that of its output; undefined where there is none. Absent: not differentiable. */
  gradient?(node: Node, g: Node): readonly (Node | undefined)[];
}

/** A tensor in a graph. Inputs have lower ids than the node, so ids are a topological order. */
export interface Node {
  readonly graph: Graph;
  readonly id: number;
  readonly op: Op;
  readonly inputs: readonly Node[];
  readonly attributes: Attributes;
  readonly dtype: DType;
  readonly shape: Shape;
}

const inputOp: Op = { name: 'input', emit: (_e, node) => node.attributes['name'] as string };
const constantOp: Op = {
  name: 'constant',
  emit: (e, node) =>
    e.constant(node.dtype, node.shape as readonly number[], node.attributes['values'] as readonly number[]),
};

/** Graph under construction. Equal nodes (same op, inputs, attributes) are made once. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly #inputs = new Map<string, Node>();
  readonly #parameters = new Map<string, Node>();
  readonly #seen = new Map<string, Node>();

  /** Fed at every run. Asking again for the same name gives the same node. */
  input(name: string, dtype: DType, shape: Shape): Node {
    const known = this.#inputs.get(name);
    if (known !== undefined) {
      if (known.dtype !== dtype || known.shape.join() !== shape.join())
        throw new Error(`input ${name} was declared as ${known.dtype} (${known.shape.join(', ')})`);
      return known;
    }
    const node = this.create(inputOp, [], { name }, dtype, shape);
    this.#inputs.set(name, node);
    return node;
  }

  /** A float32 input held in the engine's state (weights, moments): a run takes it from there unless it is fed. */
  parameter(name: string, shape: readonly number[]): Node {
    const node = this.input(name, 'float32', shape);
    this.#parameters.set(name, node);
    return node;
  }

  /** A small constant; `shape` defaults to a scalar. */
  constant(values: number | readonly number[], shape: readonly number[] = [], dtype: DType = 'float32'): Node {
    return this.create(constantOp, [], { values: typeof values === 'number' ? [values] : values }, dtype, shape);
  }

  get inputs(): ReadonlyMap<string, Node> {
    return this.#inputs;
  }

  get parameters(): ReadonlyMap<string, Node> {
    return this.#parameters;
  }

  /** Used by the builders in `ops/`. */
  create(op: Op, inputs: readonly Node[], attributes: Attributes, dtype: DType, shape: Shape): Node {
    for (const x of inputs) if (x.graph !== this) throw new Error(`${op.name}: an operand belongs to another graph`);
    const key = JSON.stringify([op.name, inputs.map((x) => x.id), attributes, dtype, shape]);
    const known = this.#seen.get(key);
    if (known !== undefined && known.op === op) return known;
    const node: Node = { graph: this, id: this.nodes.length, op, inputs, attributes, dtype, shape: [...shape] };
    this.nodes.push(node);
    this.#seen.set(key, node);
    return node;
  }
}

/** A node, or a number that becomes a constant of the other operand's type. */
export type Operand = Node | number;
