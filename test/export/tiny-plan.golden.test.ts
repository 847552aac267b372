/** The exporter's passes against the specification's: ranges, fits, rings, folded integers; and its float64 logits. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../../engine/onnxruntime.ts';
import { calibrate } from '../../export/calibrate.ts';
import { fixedPredict, integersOf } from '../../export/clear.ts';
import { fold } from '../../export/fold.ts';
import { lower } from '../../export/lower.ts';
import { BALANCED, makePlan, type PlanOptions } from '../../export/make-plan.ts';
import { realModel } from '../../export/real-model.ts';
import { specModel } from '../support/spec-model.ts';
import { programCases, programFolders, readJson, specFolded, type SpecProgramCase } from '../support/spec-program.ts';

/** Ranges are measured in float32 here and in float64 there. */
const FLOAT32 = 1e-5;
/** The specification's tests hold fixed point to this on its tiny models (README, `logits_float64`). */
const LOGITS = 0.02;

/** What the specification's planner does not do, or does otherwise. */
const SPEC_PLAN = { gap: 1.02, perLength: false, clsOnly: false, guard: false } as const;

const ours = programFolders().filter((p) => p.runs);

const close = (got: number, want: number, what: string, relative = FLOAT32): void =>
  expect(Math.abs(got - want) / Math.max(1e-9, Math.abs(want)), `${what}: ${got}, ${want}`).toBeLessThan(relative);

describe.each(ours)('$name', ({ dir, plan: want }) => {
  const spec = specModel(dir);
  const model = realModel(spec.config, spec.tensors);
  const options: PlanOptions = {
    ...BALANCED,
    ...(spec.options as Partial<PlanOptions>),
    ...SPEC_PLAN,
    ...(want.length === 'secret' && { buckets: [want.longest] }),
  };

  it('folding with the given plan gives the given integers', () => {
    const integers = specFolded(join(dir, 'folded.safetensors'));
    const folded = fold(model, want);
    expect([...folded.keys()].toSorted()).toEqual([...integers.keys()].toSorted());
    let off = 0;
    let count = 0;
    for (const [name, { shape, data }] of integers) {
      const got = folded.get(name)!;
      expect([name, got.shape]).toEqual([name, shape]);
      for (let i = 0; i < data.length; i++) {
        const difference = Math.abs(got.data[i]! - data[i]!);
        // float64 sums in another order may round a tie the other way; a folded bias carries 1e-16 of up to 2^40
        expect(difference, `${name}[${i}]`).toBeLessThanOrEqual(1);
        off += difference;
        count++;
      }
    }
    expect(off).toBeLessThanOrEqual(count / 1000);
  });

  it('calibration, fits and rings are those of the specification', async () => {
    const [shortest, longest] = spec.lengths;
    const sample = { encodings: spec.calibration, shortest, longest };
    const engine = createEngine({ threads: 1 });
    const ranges = await calibrate(sample, { engine, config: spec.config, tensors: spec.tensors });
    const plan = makePlan(model, ranges, options);

    for (const [key, r] of Object.entries(want.norm)) {
      const got = plan.norm[key]!;
      r.interval.forEach((end, i) => close(got.interval[i]!, end, `${key} interval`));
      close(got.fit_error, r.fit_error, `${key} fit`, 1e-2);
      expect([key, got.N, got.drop, got.mul, got.gate.b, got.gate.a.length, got.gate.g1, got.gate.g2, got.gate.f_out]).toEqual(
        [key, r.N, r.drop, r.mul, r.gate.b, r.gate.a.length, r.gate.g1, r.gate.g2, r.gate.f_out],
      ); // prettier-ignore
    }
    close(plan.tanh_fit.hi, want.tanh_fit.hi, 'tanh interval');
    expect(plan.tanh.a.length).toBe(want.tanh.a.length);
    want.layers.forEach((q, l) => {
      const got = plan.layers[l]!;
      const { lambda, perm, D, groups, ...rings } = q;
      expect(got).toMatchObject(rings);
      lambda.forEach((v, h) => close(got.lambda[h]!, v, `lambda ${l}.${h}`));
      expect(got.perm).toEqual(perm);
      expect(got.D.interval[1]).toBe(D.interval[1]);
      // centred denominators have a proven lower end, above calibrated minimum / margin and below the minimum itself
      const slack = got.D.interval[0] / D.interval[0];
      expect(slack).toBeGreaterThan(1 - FLOAT32);
      expect(slack).toBeLessThan(plan.normaliser === '2quad_centred' ? options.mar : 1 + FLOAT32);
      expect(got.groups.map((u) => [u.from, u.to, u.gate.a.length])).toEqual(
        groups.map((u) => [u.from, u.to, u.gate.a.length]),
      );
      groups.forEach((u, j) => {
        const g = got.groups[j]!;
        for (const field of ['lo', 'hi', 'period', 'slope'] as const) close(g[field], u[field], `${l}.gelu${j} ${field}`, 1e-4); // prettier-ignore
        close(g.err, u.err, `${l}.gelu${j} error`, 1e-2);
      });
    });
    const { norm: _n, tanh: _t, tanh_fit: _f, layers: _l, trig_tables, calibration_sha256: _c, ...scales } = want;
    expect(plan).toMatchObject(scales);
    for (const [b, table] of Object.entries(plan.trig_tables))
      if (trig_tables[b]) expect(table).toEqual(trig_tables[b]);

    const { program, tensors } = lower(plan, fold(model, plan));
    const cases = programCases(dir)
      .map((f) => readJson<SpecProgramCase>(join(dir, f)))
      .map((c) => ({ ...c, valid: c.mask }));
    const logits = fixedPredict(program, integersOf(program, tensors), cases);
    cases.forEach((c, i) => {
      const got = logits[i]!;
      if (got instanceof Error) throw got;
      c.logits_float64.forEach((v, j) => expect(Math.abs(got[j]! - v), `case ${i} logit ${j}`).toBeLessThan(LOGITS));
    });
  });
});
