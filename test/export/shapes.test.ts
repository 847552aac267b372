import { describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/onnxruntime.ts';
import { calibrate } from '../../export/calibrate.ts';
import { BALANCED } from '../../export/plans.ts';
import { floatLogits, randomModel, randomTexts, spread } from '../../export/random-model.ts';
import { SHAPES, shapeConfig, shapePlan, shapeProgram, typicalRanges } from '../../export/shapes.ts';
import { parameterCount } from '../../model/names.ts';
import { programCost } from '../../protocol/cost.ts';

const SEQ = 24;

describe('named shapes', () => {
  it('are the published sizes', () => {
    // Millions of parameters with pooler and a classifier of two labels: Devlin et al. 2019 say 110 and 340, Turc et al. 2019 4.4.
    const millions = SHAPES.map((name) => parameterCount(shapeConfig(name)) / 1e6);
    expect(millions.map((m) => Math.round(m * 10) / 10)).toEqual([4.4, 22.7, 109.5, 335.1]);
  });

  it('have 15 rounds a layer and 7 more', () => {
    for (const name of SHAPES) {
      const config = shapeConfig(name);
      const program = shapeProgram(config, shapePlan(config, SEQ));
      const { total } = programCost(program, { lengths: [SEQ], heads: program.heads });
      expect(total.rounds).toBe(15 * config.num_hidden_layers + 7);
    }
  });

  it('refuse other names and lengths', () => {
    expect(() => shapeConfig('bert-huge')).toThrow('no shape bert-huge');
    expect(() => shapePlan(shapeConfig('bert-tiny'), 513)).toThrow('513 tokens');
  });
});

describe('random model', () => {
  const config = shapeConfig('bert-tiny');
  const engine = createEngine({ threads: 1 });

  it('keeps within the typical ranges and their margin, and its logits vary over inputs', async () => {
    const tensors = await randomModel(config, engine, SEQ);
    // Other texts than those its classifier was scaled on.
    const encodings = randomTexts(config, new Array<number>(32).fill(SEQ), 99);
    const logits = await floatLogits(engine, config, tensors, encodings);
    expect(Math.min(...spread(logits).sd)).toBeGreaterThan(0.8);
    const sample = { encodings, shortest: SEQ, longest: SEQ };
    const measured = await calibrate(sample, { engine, config, tensors });
    for (const [wire, typical] of typicalRanges(config, SEQ).wires) {
      const found = measured.wires.get(wire);
      if (found === undefined) continue; // scaled scores: one length has none
      const size = wire.endsWith('.s') || wire.endsWith('.PV');
      typical.max.forEach((hi, i) => expect(found.max[i]! / hi, wire).toBeLessThan(BALANCED.mar));
      if (!size)
        typical.min.forEach((lo, i) =>
          expect(lo < 0 ? found.min[i]! / lo : lo / found.min[i]!, wire).toBeLessThan(BALANCED.mar),
        );
    }
  });
});
