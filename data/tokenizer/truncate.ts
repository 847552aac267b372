import { RefusedError } from '../../common/errors.ts';

/**
 * What to do with a text over the limit: refuse it; cut the longer of a pair until both fit; cut only the first or only the
 * second. Cuts are made on the right.
 */
export type Truncation = 'refuse' | 'longest_first' | 'only_first' | 'only_second';

/** Token counts (first, second) that remain of `first` and `second` when `room` tokens are left beside the special ones. */
function remaining(first: number, second: number | undefined, room: number, truncation: Truncation): [number, number] {
  const excess = first + (second ?? 0) - room;
  const shorten = (length: number, which: string): number => {
    if (length > excess) return length - excess;
    throw new RefusedError(
      `the ${which} text has ${length} tokens, but ${excess} must go`,
      `Raise the maximum length, or truncate with longest_first.`,
    );
  };
  if (truncation === 'only_first') return [shorten(first, 'first'), second ?? 0];
  if (truncation === 'only_second') {
    if (second !== undefined) return [first, shorten(second, 'second')];
    throw new RefusedError(
      'only_second needs a second text',
      'Truncate single texts with only_first or longest_first.',
    );
  }
  if (second === undefined) return [room, 0];
  const [short, long] = first > second ? [second, first] : [first, second];
  let [a, b] = [short, Math.max(short, room - short)];
  if (a + b > room) [a, b] = [Math.floor(room / 2), Math.ceil(room / 2)];
  else b = Math.min(b, long);
  return first > second ? [b, a] : [a, b];
}

/**
 * Cuts one text or a pair so that with `special` further tokens it has at most `maxLength`, as the Rust library
 * `tokenizers` cuts: exactly `special` empties both texts whatever the strategy.
 * @throws RefusedError if there is no room for the special tokens, a text is over the limit under 'refuse', or the strategy
 * cannot free enough.
 */
export function truncate<T>(
  first: readonly T[],
  second: readonly T[] | undefined,
  special: number,
  maxLength: number,
  truncation: Truncation,
): [readonly T[], readonly T[] | undefined] {
  if (!(maxLength >= special)) {
    throw new RefusedError(
      `a maximum length of ${maxLength} leaves no room for the ${special} special tokens`,
      `Give at least ${special}.`,
    );
  }
  const length = first.length + (second?.length ?? 0);
  const room = maxLength - special;
  if (length <= room) return [first, second];
  if (truncation === 'refuse') {
    throw new RefusedError(
      `the text has ${length + special} tokens with the special ones, the limit is ${maxLength}`,
      'Shorten it, or allow truncation.',
    );
  }
  const [a, b] = room === 0 ? [0, 0] : remaining(first.length, second?.length, room, truncation);
  return [first.slice(0, a), second?.slice(0, b)];
}
