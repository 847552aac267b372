/**
 * A pickle reader that can build tensors, dictionaries and plain values, and nothing else: a pickle is a program, and the
 * calls it may make are those of `torch-objects.ts`. Opcodes: CPython, Lib/pickletools.py.
 */
import { call, fail, findGlobal, type PickleValue, storage } from './torch-objects.ts';

/** The value a pickle (protocol 2 to 5) builds. @throws PickleError */
export function readPickle(bytes: Uint8Array): PickleValue {
  return new Machine(bytes).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #at = 0;
  #stack: PickleValue[] = [];
  /** Stacks below each open MARK. */
  readonly #marks: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (;;) {
      const op = this.#byte();
      if (op === 0x2e /* STOP */) {
        const value = this.#pop();
        if (this.#stack.length > 0 || this.#marks.length > 0) fail('the pickle stops with values left over');
        return value;
      }
      this.#step(op);
    }
  }

  #step(op: number): void {
    const stack = this.#stack;
    switch (op) {
      case 0x80: /* PROTO */ {
        const protocol = this.#byte();
        if (protocol < 2 || protocol > 5) fail(`pickle protocol ${protocol} is not read`);
        return;
      }
      case 0x95: // FRAME: its length is a hint for buffered reading
        this.#take(8);
        return;
      case 0x28: // MARK
        this.#marks.push(stack);
        this.#stack = [];
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(op === 0x88);
        return;
      case 0x4b: // BININT1
        stack.push(this.#byte());
        return;
      case 0x4d: // BININT2
        stack.push(this.#view.getUint16(this.#take(2), true));
        return;
      case 0x4a: // BININT
        stack.push(this.#view.getInt32(this.#take(4), true));
        return;
      case 0x8a: // LONG1
        stack.push(this.#long(this.#byte()));
        return;
      case 0x47: // BINFLOAT
        stack.push(this.#view.getFloat64(this.#take(8), false));
        return;
      case 0x58: // BINUNICODE
        stack.push(this.#string(this.#view.getUint32(this.#take(4), true)));
        return;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(this.#string(this.#byte()));
        return;
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        return;
      case 0x7d: // EMPTY_DICT
        stack.push(new Map());
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: /* TUPLE3 */ {
        const length = op - 0x84;
        if (stack.length < length) fail('a tuple of more values than there are');
        stack.push(stack.splice(-length));
        return;
      }
      case 0x74: /* TUPLE */ {
        const items = this.#toMark();
        this.#stack.push(items);
        return;
      }
      case 0x61: /* APPEND */ {
        const item = this.#pop();
        this.#list().push(item);
        return;
      }
      case 0x65: /* APPENDS */ {
        const items = this.#toMark();
        const list = this.#list();
        for (const item of items) list.push(item);
        return;
      }
      case 0x73: /* SETITEM */ {
        const value = this.#pop();
        const key = this.#pop();
        this.#setItems([key, value]);
        return;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#toMark());
        return;
      case 0x71: // BINPUT
        this.#memo.set(this.#byte(), this.#top());
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#view.getUint32(this.#take(4), true), this.#top());
        return;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case 0x68: // BINGET
        stack.push(this.#remembered(this.#byte()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.#remembered(this.#view.getUint32(this.#take(4), true)));
        return;
      case 0x63: /* GLOBAL */ {
        const module = this.#line();
        stack.push(findGlobal(module, this.#line()));
        return;
      }
      case 0x93: /* STACK_GLOBAL */ {
        const name = this.#pop();
        const module = this.#pop();
        if (typeof module !== 'string' || typeof name !== 'string') return fail('a global without a name');
        stack.push(findGlobal(module, name));
        return;
      }
      case 0x52: /* REDUCE */ {
        const args = this.#pop();
        stack.push(call(this.#pop(), args));
        return;
      }
      case 0x51: // BINPERSID
        stack.push(storage(this.#pop()));
        return;
      case 0x62: /* BUILD: state_dict() hangs its _metadata on the OrderedDict */ {
        const state = this.#pop();
        if (!(state instanceof Map) || !(this.#top() instanceof Map))
          fail('state is set on something that is no dictionary');
        return;
      }
      default:
        fail(`the opcode 0x${op.toString(16).padStart(2, '0')} at byte ${this.#at - 1} is not allowed`);
    }
  }

  /** Moves past `length` bytes; returns where they begin. */
  #take(length: number): number {
    const start = this.#at;
    if (start + length > this.#bytes.length) fail('the pickle ends without STOP');
    this.#at = start + length;
    return start;
  }

  #byte(): number {
    return this.#bytes[this.#take(1)]!;
  }

  #string(length: number): string {
    const start = this.#take(length);
    try {
      return this.#text.decode(this.#bytes.subarray(start, start + length));
    } catch {
      return fail('a string that is not UTF-8');
    }
  }

  #line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) fail('a name without end');
    const line = this.#string(end - this.#at);
    this.#take(1);
    return line;
  }

  /** Two's complement, little-endian. */
  #long(length: number): number {
    const start = this.#take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i]!);
    const signed = Number(BigInt.asIntN(8 * length, value));
    return Number.isSafeInteger(signed) ? signed : fail('an integer beyond 2^53');
  }

  #pop(): PickleValue {
    return this.#stack.length > 0 ? this.#stack.pop()! : fail('a value is taken where there is none');
  }

  #top(): PickleValue {
    return this.#stack.length > 0 ? this.#stack.at(-1)! : fail('a value is used where there is none');
  }

  #toMark(): PickleValue[] {
    const items = this.#stack;
    this.#stack = this.#marks.pop() ?? fail('no MARK');
    return items;
  }

  #list(): PickleValue[] {
    const list = this.#top();
    return Array.isArray(list) ? list : fail('items are appended to something that is no list');
  }

  #setItems(items: readonly PickleValue[]): void {
    const map = this.#top();
    if (!(map instanceof Map) || items.length % 2 !== 0)
      return fail('items are set on something that is no dictionary');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i];
      if (typeof key !== 'string') return fail('a dictionary key that is no string');
      if (map.has(key)) fail(`the name ${JSON.stringify(key)} is given twice`);
      map.set(key, items[i + 1]!);
    }
  }

  #remembered(index: number): PickleValue {
    return this.#memo.has(index) ? this.#memo.get(index)! : fail(`the memo has no entry ${index}`);
  }
}
