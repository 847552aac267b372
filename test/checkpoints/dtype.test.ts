import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { narrow, widen } from '../../checkpoints/dtype.ts';
import { BF16, F16, formatValue, roundToFormat } from '../support/number-formats.ts';

const FORMATS = [
  ['F16', F16],
  ['BF16', BF16],
] as const;

const float32 = fc.integer({ min: 0, max: 0xffffffff }).map((word) => {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, word);
  return view.getFloat32(0);
});

describe.each(FORMATS)('%s', (dtype, format) => {
  const all = Uint16Array.from({ length: 65536 }, (_, word) => word);

  it('widens every bit pattern to its value', () => {
    const values = widen(new Uint8Array(all.buffer), dtype);
    for (let word = 0; word < 65536; word++) {
      if (!Object.is(values[word], formatValue(word, format))) {
        expect.unreachable(`0x${word.toString(16)} → ${values[word]}, expected ${formatValue(word, format)}`);
      }
    }
  });

  it('narrows every finite value back to its bits', () => {
    const finite = all.filter((word) => Number.isFinite(formatValue(word, format)));
    const bytes = narrow(
      Float32Array.from(finite, (word) => formatValue(word, format)),
      dtype,
    ) as Uint8Array;
    expect(new Uint16Array(bytes.buffer)).toEqual(finite);
  });

  const expectRounded = (x: number): void => {
    const expected = roundToFormat(x, format);
    const bytes = narrow(Float32Array.of(x), dtype);
    if (!Number.isFinite(expected)) expect(bytes, String(x)).toBe(0);
    else expect(Object.is(widen(bytes as Uint8Array, dtype)[0], expected), `${x} → ${expected}`).toBe(true);
  };

  it('rounds midpoints between neighbours to even, and just beside them to the nearer', () => {
    const word = new Uint32Array(1);
    const float = new Float32Array(word.buffer);
    for (let i = 0; i < 0x7fff; i += 7) {
      const middle = (formatValue(i, format) + formatValue(i + 1, format)) / 2;
      if (!Number.isFinite(middle) || Math.fround(middle) !== middle) continue;
      for (const step of [-1, 0, 1]) {
        float[0] = middle;
        word[0] = word[0]! + step;
        for (const x of [float[0]!, -float[0]!]) if (Number.isFinite(x)) expectRounded(x);
      }
    }
  });

  it('rounds any float32 as the definition says, or names the value that overflows', () => {
    fc.assert(
      fc.property(float32.filter(Number.isFinite), (x) => expectRounded(x)),
      { numRuns: 2000 },
    );
  });

  it('refuses NaN and infinity', () => {
    for (const x of [Number.NaN, Infinity, -Infinity]) expect(narrow(Float32Array.of(1, x), dtype)).toBe(1);
  });
});

it('F16 overflows from 65520 on, the midpoint above the largest value', () => {
  expect(narrow(Float32Array.of(65519.99609375), 'F16')).toEqual(Uint8Array.of(0xff, 0x7b));
  expect(narrow(Float32Array.of(0, 65520), 'F16')).toBe(1);
});

it('F32 passes bit for bit, at any alignment', () => {
  const bytes = Uint8Array.of(9, 0, 0, 0x80, 0x3f, 1, 0, 0, 0x80);
  expect(widen(bytes.subarray(1), 'F32')).toEqual(Float32Array.of(1, -(2 ** -149)));
});
