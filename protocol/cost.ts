/** What a program costs for concrete lengths: the declarations of its gates, added up. Tests hold them to what is counted. */
import type { Cost } from './gate.ts';
import type { Gate, Program } from './program.ts';
import { resolve, tensorsOf, wireTypes } from './resolve.ts';
import type { Dims } from './shape.ts';
import { definitionOf } from './suite/masked.ts';

export interface GateCost {
  readonly name: string;
  readonly op: Gate['op'];
  readonly n: number;
  /** Openings on the longest path up to and with this gate: the round after which its output exists. */
  readonly depth: number;
  readonly cost: Cost;
}

export interface ProgramCost {
  readonly gates: readonly GateCost[];
  /** `rounds` is the depth of the program, everything else the sum over its gates. */
  readonly total: Cost;
}

const ZERO: Cost = {
  rounds: 0,
  openedBits: 0,
  dealtBits: 0,
  clientBits: 0,
  multiplyAdds: { party0: 0, party1: 0, assistant: 0 },
};

const plus = (a: Cost, b: Cost, rounds: number): Cost => ({
  rounds,
  openedBits: a.openedBits + b.openedBits,
  dealtBits: a.dealtBits + b.dealtBits,
  clientBits: a.clientBits + b.clientBits,
  multiplyAdds: {
    party0: a.multiplyAdds.party0 + b.multiplyAdds.party0,
    party1: a.multiplyAdds.party1 + b.multiplyAdds.party1,
    assistant: a.multiplyAdds.assistant + b.multiplyAdds.assistant,
  },
});

/** @throws PlanError where the program does not hold for these lengths. */
export function programCost(program: Program, dims: Dims): ProgramCost {
  const types = wireTypes(program, dims);
  const tensor = tensorsOf(program);
  const gates: GateCost[] = [];
  let total = ZERO;
  for (const gate of resolve(program, dims)) {
    const inputs = gate.in.map((wire) => types[wire]!);
    const cost = definitionOf(gate).cost(gate, inputs, dims, tensor);
    const depth = Math.max(0, ...gate.in.map((wire) => gates[wire]!.depth)) + cost.rounds;
    gates.push({ name: gate.name, op: gate.op, n: gate.n, depth, cost });
    total = plus(total, cost, Math.max(total.rounds, depth));
  }
  return { gates, total };
}
