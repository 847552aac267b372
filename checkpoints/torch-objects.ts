/**
 * The objects a PyTorch pickle may build, and the few calls it may make for that (PyTorch, torch/_utils.py and
 * torch/serialization.py). A call is a name in a table here; nothing of the file is looked up elsewhere.
 */

/** A run of numbers in a file of its own. */
export interface TorchStorage {
  readonly kind: 'storage';
  readonly dtype: string;
  readonly key: string;
  readonly length: number;
}

/** A view of a storage: element (i, j, …) lies at offset + i·stride[0] + j·stride[1] + …. */
export interface TorchTensor {
  readonly kind: 'tensor';
  readonly storage: TorchStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
}

interface Global {
  readonly kind: 'global';
  readonly name: string;
}

export type PickleValue =
  null | boolean | number | string | Global | TorchStorage | TorchTensor | PickleValue[] | Map<string, PickleValue>;

/** The pickle is malformed, or asks for more than tensors; `message` says what. */
export class PickleError extends Error {}

const STORAGES: Readonly<Record<string, string>> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};
const ORDERED_DICT = 'collections.OrderedDict';
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
const ALLOWED: ReadonlySet<string> = new Set([
  ORDERED_DICT,
  REBUILD_TENSOR,
  REBUILD_PARAMETER,
  ...Object.keys(STORAGES),
]);

/** Ends unpickling. @throws PickleError always */
export function fail(what: string): never {
  throw new PickleError(what);
}

const isCount = (value: PickleValue | undefined): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
const isGlobal = (value: PickleValue | undefined): value is Global =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'global';

/** The global a pickle names. @throws PickleError for all but those that rebuild tensors */
export function findGlobal(module: string, name: string): Global {
  const full = `${module}.${name}`;
  return ALLOWED.has(full) ? { kind: 'global', name: full } : fail(`it calls ${full}, which is not allowed`);
}

/** A persistent id: ('storage', type, key, location, length) */
export function storage(id: PickleValue): TorchStorage {
  if (!Array.isArray(id) || id.length !== 5 || id[0] !== 'storage')
    return fail('a reference to something that is no storage');
  const [, type, key, , length] = id;
  if (!isGlobal(type) || !(type.name in STORAGES)) return fail('a storage without a type');
  if (typeof key !== 'string' || !/^\d+$/.test(key)) return fail('a storage without a number');
  if (!isCount(length)) return fail(`storage ${key} without a length`);
  return { kind: 'storage', dtype: STORAGES[type.name]!, key, length };
}

/** What a call of an allowed global gives, evaluated here and never by name. @throws PickleError for anything else */
export function call(callee: PickleValue, args: PickleValue): PickleValue {
  if (!isGlobal(callee) || !Array.isArray(args)) return fail('a call of something that is no function');
  switch (callee.name) {
    case ORDERED_DICT:
      return args.length === 0 ? new Map() : fail('an OrderedDict with arguments');
    case REBUILD_TENSOR:
      return rebuildTensor(args);
    case REBUILD_PARAMETER: {
      const data = args[0];
      return isTensor(data) ? data : fail('a parameter without a tensor');
    }
    default:
      return fail(`it calls ${callee.name}, which is a type of storage`);
  }
}

/** Whether an unpickled value is a tensor. */
export function isTensor(value: PickleValue | undefined): value is TorchTensor {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'tensor';
}

/** (storage, offset, size, stride, requires_grad, hooks) */
function rebuildTensor(args: readonly PickleValue[]): TorchTensor {
  const [source, offset, size, stride] = args;
  const isStorage = typeof source === 'object' && source !== null && 'kind' in source && source.kind === 'storage';
  if (!isStorage) return fail('a tensor without a storage');
  if (!isCount(offset)) return fail('a tensor without an offset');
  if (!Array.isArray(size) || !Array.isArray(stride) || !size.every(isCount) || !stride.every(isCount)) {
    return fail('a tensor without size and stride');
  }
  if (size.length !== stride.length) return fail(`a tensor of ${size.length} axes with ${stride.length} strides`);
  return {
    kind: 'tensor',
    storage: source as TorchStorage,
    offset,
    shape: size as number[],
    stride: stride as number[],
  };
}
