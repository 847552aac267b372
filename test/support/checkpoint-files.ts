/** Writers of checkpoint files for tests, plain and independent of the code under test. */

export interface RawTensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** A safetensors file: header length, JSON header, data. */
export function buildSafetensors(tensors: readonly (readonly [string, RawTensor])[]): Buffer {
  let offset = 0;
  const entries = tensors.map(([name, { dtype, shape, bytes }]) => {
    const entry = `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join()}],"data_offsets":[${offset},${offset + bytes.length}]}`;
    offset += bytes.length;
    return entry;
  });
  const header = Buffer.from(`{${entries.join()}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...tensors.map(([, { bytes }]) => bytes)]);
}

/** A zip of stored entries (APPNOTE.TXT 4.3), checksums 0 as PyTorch may write them. */
export function buildZip(entries: readonly (readonly [string, Uint8Array])[]): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, bytes] of entries) {
    const title = Buffer.from(name);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt32LE(bytes.length, 18);
    local.writeUInt32LE(bytes.length, 22);
    local.writeUInt16LE(title.length, 26);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt32LE(bytes.length, 20);
    entry.writeUInt32LE(bytes.length, 24);
    entry.writeUInt16LE(title.length, 28);
    entry.writeUInt32LE(offset, 42);
    parts.push(local, title, Buffer.from(bytes));
    central.push(entry, title);
    offset += 30 + title.length + bytes.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}

export interface RawView {
  storage: string;
  key: number;
  length: number;
  offset: number;
  shape: number[];
  stride: number[];
}

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([Buffer.from('X'), length, bytes]);
};
const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.write('J', 'latin1');
  bytes.writeInt32LE(value, 1);
  return bytes;
};
const op = (code: string): Buffer => Buffer.from(code, 'latin1');
const tuple = (items: readonly Buffer[]): Buffer => Buffer.concat([op('('), ...items, op('t')]);
export const global = (module: string, name: string): Buffer => op(`c${module}\n${name}\n`);

/** One tensor of a state dict, as torch.save pickles it. */
export function pickledTensor(view: RawView): Buffer {
  const { storage, key, length, offset, shape, stride } = view;
  const id = tuple([text('storage'), global('torch', storage), text(String(key)), text('cpu'), int(length)]);
  const hooks = Buffer.concat([global('collections', 'OrderedDict'), op(')R')]);
  const args = [
    Buffer.concat([id, op('Q')]),
    int(offset),
    tuple(shape.map(int)),
    tuple(stride.map(int)),
    op('\x89'),
    hooks,
  ];
  return Buffer.concat([global('torch._utils', '_rebuild_tensor_v2'), tuple(args), op('R')]);
}

/** A protocol-2 pickle of an OrderedDict; values are pickled already. `tail` comes before STOP. */
export function pickledDict(items: readonly (readonly [string, Buffer])[], tail: Buffer = Buffer.alloc(0)): Buffer {
  const pairs = items.flatMap(([name, value]) => [text(name), value]);
  return Buffer.concat([
    op('\x80\x02'),
    global('collections', 'OrderedDict'),
    op(')R('),
    ...pairs,
    op('u'),
    tail,
    op('.'),
  ]);
}

/** The BUILD that hangs `_metadata` on a real state_dict(). */
export const metadataState = Buffer.concat([
  op('}'),
  text('_metadata'),
  global('collections', 'OrderedDict'),
  op(')Rsb'),
]);

/** A pytorch_model.bin from a pickle and its storages. */
export function buildTorch(pickle: Buffer, storages: readonly Uint8Array[]): Buffer {
  const entries: [string, Uint8Array][] = [
    ['archive/data.pkl', pickle],
    ['archive/byteorder', Buffer.from('little')],
  ];
  storages.forEach((bytes, key) => entries.push([`archive/data/${key}`, bytes]));
  return buildZip(entries);
}
