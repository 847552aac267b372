/** Names at the ends of lines, moved apart where lines end close together. */

/**
 * Places at least `gap` apart and within [top, bottom], in the order of `wanted`, as near to it in squares as that allows:
 * isotonic regression (pool adjacent violators) of what is left of each after the gaps before it.
 */
export function apart(wanted: readonly number[], gap: number, [top, bottom]: readonly [number, number]): number[] {
  const order = wanted.map((_, i) => i).toSorted((a, b) => wanted[a]! - wanted[b]!);
  const pools: { sum: number; count: number }[] = [];
  const mean = ({ sum, count }: { sum: number; count: number }): number => sum / count;
  order.forEach((i, rank) => {
    let pool = { sum: wanted[i]! - rank * gap, count: 1 };
    while (pools.length > 0 && mean(pools.at(-1)!) >= mean(pool)) {
      const before = pools.pop()!;
      pool = { sum: before.sum + pool.sum, count: before.count + pool.count };
    }
    pools.push(pool);
  });
  const highest = bottom - (wanted.length - 1) * gap;
  const places = Array.from({ length: wanted.length }, () => 0);
  let rank = 0;
  for (const pool of pools) {
    const at = Math.max(top, Math.min(highest, mean(pool)));
    for (let i = 0; i < pool.count; i++, rank++) places[order[rank]!] = at + rank * gap;
  }
  return places;
}

/** At most `most` of the numbers below `count`, evenly spread, first and last among them. */
export function spreadOut(count: number, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, i) => i);
  const step = Math.ceil((count - 1) / (most - 1));
  const chosen = Array.from({ length: Math.ceil((count - 1) / step) }, (_, i) => i * step);
  // The last one always; the one before it not if they are neighbours.
  return [...chosen.filter((i) => i === 0 || count - 1 - i >= step / 2), count - 1];
}
