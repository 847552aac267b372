/** ONNX protobuf messages (onnx.proto3 of ONNX 1.15: IR version 9, opset 20). Field numbers are those of the schema. */
import type { DType, OnnxAttributes } from '../graph/node.ts';
import type { Shape } from '../graph/shape.ts';
import { Message } from './protobuf.ts';

const IR_VERSION = 9;
const OPSET = 20;
const ELEMENT: Record<DType, number> = { float32: 1, int64: 7, bool: 9 };

/** AttributeProto: name 1, f 2, i 3, s 4, ints 8, type 20. */
function attributes(given: OnnxAttributes): Message[] {
  const list: Message[] = [];
  const named = (name: string, type: number): Message => {
    const message = new Message().string(1, name).int(20, type);
    list.push(message);
    return message;
  };
  for (const [name, v] of Object.entries(given.float ?? {})) named(name, 1).float(2, v);
  for (const [name, v] of Object.entries(given.int ?? {})) named(name, 2).int(3, v);
  for (const [name, v] of Object.entries(given.string ?? {})) named(name, 3).string(4, v);
  for (const [name, v] of Object.entries(given.ints ?? {})) {
    const message = named(name, 7);
    for (const i of v) message.int(8, i);
  }
  return list;
}

/** NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7. */
export function nodeProto(
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  given: OnnxAttributes,
): Message {
  const message = new Message();
  for (const name of inputs) message.string(1, name);
  for (const name of outputs) message.string(2, name);
  message.string(3, outputs[0]!).string(4, type);
  for (const attribute of attributes(given)) message.message(5, attribute);
  if (given.domain !== undefined) message.string(7, given.domain);
  return message;
}

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
export function tensorProto(
  name: string,
  dtype: DType,
  shape: readonly number[],
  values: readonly number[] | Float32Array,
): Message {
  const data =
    values instanceof Float32Array
      ? values
      : dtype === 'float32'
        ? Float32Array.from(values)
        : dtype === 'int64'
          ? BigInt64Array.from(values, BigInt)
          : Uint8Array.from(values);
  const message = new Message();
  for (const d of shape) message.int(1, d);
  return message
    .int(2, ELEMENT[dtype])
    .string(8, name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** ValueInfoProto: name 1, type 2 {tensor_type 1 {elem_type 1, shape 2 {dim 1 {dim_value 1, dim_param 2}}}}. */
export function valueProto(name: string, dtype: DType, shape: Shape): Message {
  const dims = new Message();
  for (const d of shape) dims.message(1, typeof d === 'number' ? new Message().int(1, d) : new Message().string(2, d));
  const tensor = new Message().int(1, ELEMENT[dtype]).message(2, dims);
  return new Message().string(1, name).message(2, new Message().message(1, tensor));
}

export interface GraphParts {
  readonly nodes: readonly Message[];
  readonly initialisers: readonly Message[];
  readonly inputs: readonly Message[];
  readonly outputs: readonly Message[];
  /** Whether ops of ONNX Runtime's own set occur. */
  readonly own: boolean;
}

/** ModelProto: ir_version 1, producer_name 2, graph 7, opset_import 8. GraphProto: node 1, name 2, initializer 5, input 11, output 12. */
export function modelProto(parts: GraphParts): Uint8Array {
  const graph = new Message().string(2, 'graph');
  for (const m of parts.nodes) graph.message(1, m);
  for (const m of parts.initialisers) graph.message(5, m);
  for (const m of parts.inputs) graph.message(11, m);
  for (const m of parts.outputs) graph.message(12, m);
  const model = new Message().int(1, IR_VERSION).string(2, 'secformer-toolkit').message(7, graph);
  const opset = (domain: string, version: number): Message => new Message().string(1, domain).int(2, version);
  model.message(8, opset('', OPSET));
  if (parts.own) model.message(8, opset('com.microsoft', 1));
  return model.finish();
}
