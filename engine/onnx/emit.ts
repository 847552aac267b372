/** From graph to ONNX model. */
import type { DType, Emitter, Graph, Node, OnnxAttributes } from '../graph/node.ts';
import { factors, type Dim, type Shape } from '../graph/shape.ts';
import { modelProto, nodeProto, tensorProto, valueProto } from './model.ts';
import type { Message } from './protobuf.ts';

export interface OnnxModel {
  readonly bytes: Uint8Array;
  /** The graph inputs that the outputs need. */
  readonly inputs: ReadonlyMap<string, Node>;
}

export interface EmitOptions {
  /** Values that become part of the model, by the name of their input. */
  readonly weights?: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
  /** Only ops of the ONNX standard, none of ONNX Runtime's own. */
  readonly standard?: boolean;
  /** Names of symbols in the declared shapes; absent: their own. */
  readonly symbols?: Readonly<Record<string, string>>;
}

/** Emits what the outputs need; each output gets its name in the record. */
export function emitOnnx(graph: Graph, outputs: Readonly<Record<string, Node>>, options: EmitOptions = {}): OnnxModel {
  return new Emission(graph, options).emit(outputs);
}

interface OnnxNode {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: OnnxAttributes;
}

/** Least rows of a block. Measured with 384 and 1,536 columns: blocks of 512 to 1,024 rows are fastest. */
const BLOCK_ROWS = 512;

class Emission implements Emitter {
  readonly standard: boolean;
  readonly #graph: Graph;
  readonly #options: EmitOptions;
  readonly #nodes: OnnxNode[] = [];
  readonly #initialisers: Message[] = [];
  readonly #constants = new Map<string, string>();
  readonly #outputs = new Map<Node, readonly string[]>();
  readonly #lengths = new Map<Dim, string>();
  readonly #blockCounts = new Map<Dim, string>();
  readonly #inputs = new Map<string, Node>();
  readonly #wanted = new Set<Node>();
  #next = 0;

  constructor(graph: Graph, options: EmitOptions) {
    this.#graph = graph;
    this.#options = options;
    this.standard = options.standard ?? false;
  }

  emit(outputs: Readonly<Record<string, Node>>): OnnxModel {
    const wanted = this.#wanted;
    const pending = Object.values(outputs);
    while (pending.length > 0) {
      const node = pending.pop()!;
      if (wanted.has(node)) continue;
      wanted.add(node);
      pending.push(...node.inputs);
    }
    // Ids are a topological order.
    for (const node of [...wanted].toSorted((a, b) => a.id - b.id)) {
      const inputs = node.inputs.map((x) => this.#outputs.get(x)![0]!);
      if (node.op.name === 'input') this.#input(node);
      const names = node.op.emit(this, node, inputs);
      this.#outputs.set(node, typeof names === 'string' ? [names] : names);
    }
    const renamed = this.#nameOutputs(outputs);
    const rename = (name: string): string => renamed.get(name) ?? name;
    const declare = (name: string, node: Node): Message => valueProto(name, node.dtype, node.shape.map((d) => this.#options.symbols?.[d] ?? d)); // prettier-ignore
    const bytes = modelProto({
      nodes: this.#nodes.map((n) => nodeProto(n.type, n.inputs.map(rename), n.outputs.map(rename), n.attributes)),
      initialisers: this.#initialisers,
      inputs: [...this.#inputs].map(([name, node]) => declare(name, node)),
      outputs: Object.entries(outputs).map(([name, node]) => declare(name, node)),
      own: this.#nodes.some((n) => n.attributes.domain !== undefined),
    });
    return { bytes, inputs: this.#inputs };
  }

  /** Declares an input, or stores its value. */
  #input(node: Node): void {
    const name = node.attributes['name'] as string;
    const weight = this.#options.weights?.get(name);
    if (weight === undefined) {
      this.#inputs.set(name, node);
      return;
    }
    if (weight.shape.join() !== node.shape.join())
      throw new Error(`weight ${name} has shape (${weight.shape.join(', ')}), declared (${node.shape.join(', ')})`);
    this.#initialisers.push(tensorProto(name, 'float32', weight.shape, weight.data));
  }

  /**
   * The value an output stands for takes the output's name. Only where that cannot be (an input, a constant, a value
   * asked for twice) does it cost a copy.
   */
  #nameOutputs(outputs: Readonly<Record<string, Node>>): Map<string, string> {
    const made = new Set(this.#nodes.flatMap((n) => n.outputs));
    const renamed = new Map<string, string>();
    for (const [name, node] of Object.entries(outputs)) {
      if (this.#inputs.has(name)) throw new Error(`output ${name} has the name of an input`);
      const value = this.#outputs.get(node)![0]!;
      if (made.has(value) && !renamed.has(value)) renamed.set(value, name);
      else this.#nodes.push({ type: 'Identity', inputs: [value], outputs: [name], attributes: {} });
    }
    return renamed;
  }

  #name(): string {
    return `#${this.#next++}`;
  }

  node(type: string, inputs: readonly string[], attributes: OnnxAttributes = {}): string {
    return this.nodes(type, inputs, 1, attributes)[0]!;
  }

  nodes(type: string, inputs: readonly string[], outputs: number, attributes: OnnxAttributes = {}): string[] {
    const names = Array.from({ length: outputs }, () => this.#name());
    this.#nodes.push({ type, inputs, outputs: names, attributes });
    return names;
  }

  constant(dtype: DType, shape: readonly number[], values: readonly number[]): string {
    const key = `${dtype}(${shape.join()})${values.map((v) => (Object.is(v, -0) ? '-0' : String(v))).join()}`;
    let name = this.#constants.get(key);
    if (name === undefined) {
      name = this.#name();
      this.#constants.set(key, name);
      this.#initialisers.push(tensorProto(name, dtype, shape, values));
    }
    return name;
  }

  outputs(node: Node): readonly string[] {
    return this.#outputs.get(node)!;
  }

  lengths(shape: Shape): string {
    if (shape.every((d) => typeof d === 'number')) return this.constant('int64', [shape.length], shape);
    const parts = shape.map((d) => (typeof d === 'number' ? this.constant('int64', [1], [d]) : this.#length(d)));
    return parts.length === 1 ? parts[0]! : this.node('Concat', parts, { int: { axis: 0 } });
  }

  blocks(rows: Dim, columns: number): string {
    const parts = [this.#blockCount(rows), this.constant('int64', [1], [-1]), this.constant('int64', [1], [columns])];
    return this.node('Concat', parts, { int: { axis: 0 } });
  }

  /** The greatest of some powers of two that divides the rows and leaves a block enough of them. */
  #blockCount(rows: Dim): string {
    const known = this.#blockCounts.get(rows);
    if (known !== undefined) return known;
    const counts = [1, 2, 4, 8, 16, 32, 64];
    const [all, length] = [this.constant('int64', [counts.length], counts), this.lengths([rows])];
    const least = this.constant('int64', [counts.length], counts.map((c) => (c === 1 ? 0 : c * BLOCK_ROWS))); // prettier-ignore
    const even = this.node('Equal', [this.node('Mod', [length, all]), this.constant('int64', [1], [0])]);
    const fits = this.node('And', [even, this.node('GreaterOrEqual', [length, least])]);
    const count = this.node('ReduceMax', [this.node('Where', [fits, all, this.constant('int64', [1], [1])])]);
    const name = this.node('Reshape', [count, this.constant('int64', [1], [1])]);
    this.#blockCounts.set(rows, name);
    return name;
  }

  /** One length as an int64 vector of one element. */
  #length(dim: Dim): string {
    const known = this.#lengths.get(dim);
    if (known !== undefined) return known;
    const { factor, symbols } = factors(dim);
    let name: string;
    if (symbols.length === 1 && factor === 1) name = this.#symbol(symbols[0]!);
    else {
      const parts = symbols.map((s) => this.#length(s));
      if (factor !== 1) parts.push(this.constant('int64', [1], [factor]));
      name = parts.reduce((a, b) => this.node('Mul', [a, b]));
    }
    this.#lengths.set(dim, name);
    return name;
  }

  /** A symbol's length, read from a tensor that has it as an axis: best an input that is fed anyway. */
  #symbol(symbol: string): string {
    const has = (node: Node): boolean => node.shape.includes(symbol);
    const inputs = [...this.#graph.inputs.values()].filter(has);
    const input = inputs.find((x) => this.#wanted.has(x));
    if (input !== undefined) return this.#axis(input.attributes['name'] as string, input.shape.indexOf(symbol));
    const made = [...this.#outputs.keys()].find(has);
    if (made !== undefined) return this.#axis(this.outputs(made)[0]!, made.shape.indexOf(symbol));
    const other = inputs[0];
    if (other === undefined) throw new Error(`no tensor has an axis of length ${symbol}`);
    const name = other.attributes['name'] as string;
    this.#inputs.set(name, other);
    return this.#axis(name, other.shape.indexOf(symbol));
  }

  #axis(name: string, axis: number): string {
    return this.node('Shape', [name], { int: { start: axis, end: axis + 1 } });
  }
}
