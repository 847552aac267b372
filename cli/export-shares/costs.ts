/** What a program costs, kind of gate by kind of gate. */
import { programCost } from '../../protocol/cost.ts';
import type { Program } from '../../protocol/program.ts';
import { bytes, large } from '../ui/figures.ts';
import { table } from '../ui/table.ts';

export interface CostRow {
  /** Block and op, e.g. `attention scores · open`. */
  readonly part: string;
  readonly op: string;
  readonly gates: number;
  /** Narrowest and widest ring. */
  readonly rings: readonly [number, number];
  readonly openedBytes: number;
  readonly dealtBytes: number;
  readonly multiplyAdds: number;
}

export interface Costs {
  readonly tokens: number;
  readonly rows: readonly CostRow[];
  /** Bytes one party sends, bytes dealt to party 1, bytes from the client to each party. */
  readonly total: {
    readonly rounds: number;
    readonly openedBytes: number;
    readonly dealtBytes: number;
    readonly clientBytes: number;
    readonly multiplyAdds: number;
  };
}

/** The wire's name without its layer: `3.E_n` → `E_n`, `0.gelu4` → `gelu`. */
const part = (name: string): string => name.replace(/^\d+\./, '').replace(/^gelu\d+/, 'gelu');

/** Costs of one text, summed over layers and sorted by what is dealt. */
export function costByGate(program: Program, tokens: number): Costs {
  const { gates, total } = programCost(program, { lengths: [tokens], heads: program.heads });
  const rows = new Map<string, CostRow>();
  for (const { name, op, n, cost } of gates) {
    if (cost.openedBits === 0 && cost.dealtBits === 0) continue;
    const key = `${part(name)} ${op}`;
    const row = rows.get(key);
    rows.set(key, {
      part: part(name),
      op,
      gates: (row?.gates ?? 0) + 1,
      rings: [Math.min(n, row?.rings[0] ?? n), Math.max(n, row?.rings[1] ?? n)],
      openedBytes: (row?.openedBytes ?? 0) + cost.openedBits / 8,
      dealtBytes: (row?.dealtBytes ?? 0) + cost.dealtBits / 8,
      multiplyAdds: (row?.multiplyAdds ?? 0) + cost.multiplyAdds.party0,
    });
  }
  return {
    tokens,
    rows: [...rows.values()].toSorted((a, b) => b.dealtBytes - a.dealtBytes || b.openedBytes - a.openedBytes),
    total: {
      rounds: total.rounds,
      openedBytes: total.openedBits / 8,
      dealtBytes: total.dealtBits / 8,
      clientBytes: total.clientBits / 8,
      multiplyAdds: total.multiplyAdds.party0,
    },
  };
}

/** Rows of one kind of gate in one, in the order of what is dealt. */
function byKind(rows: readonly CostRow[]): CostRow[] {
  const kinds = new Map<string, CostRow>();
  for (const row of rows) {
    const sum = kinds.get(row.op);
    kinds.set(row.op, {
      part: row.op,
      op: row.op,
      gates: row.gates + (sum?.gates ?? 0),
      rings: [Math.min(row.rings[0], sum?.rings[0] ?? row.rings[0]), Math.max(row.rings[1], sum?.rings[1] ?? 0)],
      openedBytes: row.openedBytes + (sum?.openedBytes ?? 0),
      dealtBytes: row.dealtBytes + (sum?.dealtBytes ?? 0),
      multiplyAdds: row.multiplyAdds + (sum?.multiplyAdds ?? 0),
    });
  }
  return [...kinds.values()].toSorted((a, b) => b.dealtBytes - a.dealtBytes || b.openedBytes - a.openedBytes);
}

/** What every kind of gate costs, or with `wires` every sort of wire, as a table for people. */
export function costTable({ tokens, rows, total }: Costs, wires = false): string {
  const ring = ([lo, hi]: readonly [number, number]): string => (lo === hi ? `${lo}` : `${lo}–${hi}`);
  const cells = (r: CostRow): string[] => [
    ...(wires ? [r.part, r.op] : [r.op]),
    String(r.gates),
    ring(r.rings),
    bytes(r.openedBytes),
    bytes(r.dealtBytes),
    large(r.multiplyAdds),
  ];
  const lines = table(
    [...(wires ? ['wire'] : []), 'gate', 'gates', 'ring', 'opened', 'dealt', 'multiply-adds'],
    (wires ? rows : byKind(rows)).map(cells),
    {
      left: wires ? 2 : 1,
      foot: ['total', ...(wires ? [''] : []), '', '', bytes(total.openedBytes), bytes(total.dealtBytes), large(total.multiplyAdds)], // prettier-ignore
    },
  );
  const head =
    `One text of ${tokens} token${tokens === 1 ? '' : 's'}: ${total.rounds} rounds; sent by each party (opened), to party 1 by the\n` +
    `assistant (dealt), ${bytes(total.clientBytes)} from the client to each party`;
  return `${head}\n\n${lines.join('\n')}${wires ? '' : '\n--gates prints every sort of wire'}`;
}
