/** `32,64,128`, the buckets of hidden lengths as an option gives them. */
import { InvalidArgumentError } from 'commander';

/** Ascending whole numbers with commas between them. @throws InvalidArgumentError otherwise */
export function bucketList(text: string): number[] {
  const sizes = text.split(',').map(Number);
  if (!sizes.every((size, i) => Number.isInteger(size) && size > (sizes[i - 1] ?? 0)))
    throw new InvalidArgumentError('ascending whole numbers with commas between them are due, as 32,64,128.');
  return sizes;
}
