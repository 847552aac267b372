import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  CORE,
  expectedSeconds,
  expectedTimes,
  explainProgram,
  type Hiding,
  type Part,
} from '../../cli/secure-infer/explain.ts';
import { shapeConfig, shapePlan, shapeProgram } from '../../export/shapes.ts';
import { programCost } from '../../protocol/cost.ts';
import { endAll, secureInfer } from '../support/processes.ts';
import { exportSmall } from '../support/small-program.ts';

const config = shapeConfig('bert-tiny');
const program = shapeProgram(config, shapePlan(config, 16));
const dims = { lengths: [16, 16, 16], heads: program.heads };
const explained = explainProgram(program, dims);
const { total } = programCost(program, dims);

describe('explain', () => {
  it('is the sum of the declarations, however it is grouped', () => {
    expect(explained.rounds).toBe(total.rounds);
    expect(explained.sentBytesPerParty).toBe(Math.ceil(total.openedBits / 8));
    expect(explained.dealtBytes).toBe(Math.ceil(total.dealtBits / 8));
    expect(explained.clientBytes).toBe(Math.ceil(total.clientBits / 8));
    expect(explained.ringMultiplyAdds).toEqual(total.multiplyAdds);
    for (const parts of [explained.layers, explained.kinds, explained.gates]) {
      const sum = (of: (part: Part) => number): number => parts.reduce((s, part) => s + of(part), 0);
      expect(sum((p) => p.gates)).toBe(program.gates.length);
      expect(sum((p) => p.multiplyAdds)).toBe(total.multiplyAdds.party0);
      expect(sum((p) => p.weightBytes)).toBe(explained.weightBytes);
      // Each part is rounded up to a byte.
      expect(Math.abs(sum((p) => p.sentBytes) - explained.sentBytesPerParty)).toBeLessThanOrEqual(parts.length);
      expect(Math.abs(sum((p) => p.dealtBytes) - explained.dealtBytes)).toBeLessThanOrEqual(parts.length);
    }
  });

  it('has the rounds of the layers add up to those of the program', () => {
    expect(explained.layers.map(({ name, rounds }) => [name, rounds])).toEqual([
      ['embedding', 4],
      ['layer 0', 15],
      ['layer 1', 15],
      ['classifier', 3],
    ]);
  });

  it('counts F and V of every weight once', () => {
    const words = Object.values(program.tensors).map(({ role, n, rows, cols }) => {
      const bytes = n <= 32 ? 4 : n <= 64 ? 8 : 16;
      return (role === 'masked' ? 2 : 1) * bytes * rows * cols;
    });
    expect(explained.weightBytes).toBe(words.reduce((a, b) => a + b));
  });

  it('adds half a round trip a round and the time on the line', () => {
    const near = expectedSeconds(explained, { rtt: 0, bandwidth: Infinity });
    const far = expectedSeconds(explained, { rtt: 0.1, bandwidth: 1e6 });
    const moved = explained.sentBytesPerParty + explained.clientBytes;
    expect(far.onlineSeconds - near.onlineSeconds).toBeCloseTo(total.rounds * 0.05 + moved * 8e-6, 9);
    expect(far.seconds - near.seconds).toBeCloseTo(total.rounds * 0.05 + (moved + explained.dealtBytes) * 8e-6, 9);
    expect(near.seconds - near.onlineSeconds).toBeCloseTo(total.multiplyAdds.party0 / 2 / CORE.multiplyAdds, 9);
  });

  it('has the times of the layers add up to that of the session', () => {
    const network = { rtt: 0.02, bandwidth: 1e8 };
    const sum = explained.layers.reduce((s, layer) => s + expectedTimes(layer, network).seconds, 0);
    // Each layer's bytes are rounded up.
    expect(sum).toBeCloseTo(expectedSeconds(explained, network).seconds, 5);
  });
});

describe('the command', () => {
  afterEach(endAll);

  it('prints what scripts read', async () => {
    const args = ['--shape', 'bert-tiny', '--seq', '16', '--batch', '3', '--rtt', '20ms', '--bandwidth', '100Mbit'];
    const { code, out } = await secureInfer('explain', ...args, '--json');
    expect(code).toBe(0);
    const json = JSON.parse(out);
    expect(json).toMatchObject({
      suite: 'masked',
      plan: 'balanced',
      rounds: total.rounds,
      sentBytesPerParty: explained.sentBytesPerParty,
      dealtBytes: explained.dealtBytes,
      clientBytes: explained.clientBytes,
      ringMultiplyAdds: total.multiplyAdds,
      seconds: expectedSeconds(explained, { rtt: 0.02, bandwidth: 1e8 }).seconds,
    });
    expect(Object.keys(json.ringMultiplyAdds)).toEqual(['party0', 'party1', 'assistant']);
    const compact = JSON.parse((await secureInfer('explain', ...args, '--plan', 'compact', '--json')).out);
    expect(compact.plan).toBe('compact');
    expect(compact.dealtBytes).toBeLessThan(json.dealtBytes);
  });

  it('hides the lengths of a shape: a text costs what its bucket does', async () => {
    const hidden = ['--shape', 'bert-tiny', '--hide-length', '16,32', '--json'];
    const [small, bucket, larger] = await Promise.all(
      ['9', '16', '20'].map(async (seq) => JSON.parse((await secureInfer('explain', '--seq', seq, ...hidden)).out)),
    );
    expect(small).toMatchObject({ buckets: [16, 32], lengths: [16] });
    expect(bucket.sentBytesPerParty).toBe(small.sentBytesPerParty);
    expect(larger.lengths).toEqual([32]);
    expect(larger.sentBytesPerParty).toBeGreaterThan(small.sentBytesPerParty);
    const { out } = await secureInfer('explain', '--shape', 'bert-tiny', '--seq', '9', '--hide-length', '16,32');
    expect(out).toMatch(
      /hidden inside buckets of 16, 32 tokens:\n +a text of 9 costs what one of 16 does\npadding factor +[\d.]+ kB sent/,
    );
    expect(out).not.toMatch(/centred/);
    const above = await secureInfer('explain', '--shape', 'bert-tiny', '--seq', '40', '--hide-length', '16,32');
    expect([above.code, above.out]).toEqual([2, '']);
    expect(above.err).toMatch(/a largest bucket of 32 tokens/);
  });

  it('says what hidden lengths add to centred scores: a round a layer, and what the keys take', async () => {
    const shape = ['--shape', 'bert-tiny', '--seq', '16', '--softmax-act', '2quad_centred'];
    const [open, hidden] = await Promise.all(
      [[], ['--hide-length', '16,32']].map(async (more) => JSON.parse((await secureInfer('explain', ...shape, ...more, '--gates', '--json')).out)),
    ); // prettier-ignore
    expect([open.rounds, open.hiding]).toEqual([15 * 2 + 7, undefined]);
    expect(hidden.rounds).toBe(16 * 2 + 7);
    expect(hidden.layers.map(({ rounds }: Part) => rounds)).toEqual([4, 16, 16, 3]);
    const { keys, padding, scaled, centred } = hidden.hiding as Hiding;
    expect([keys!.rounds, padding.rounds, scaled, centred]).toEqual([2, 0, true, true]);
    const own = (hidden.gates as Part[]).filter(({ name }) => /^mu\.[nwF]|^\d\.(o_)?K(F|sum|mean|$)/.test(name) && !/^\d\.K$/.test(name)); // prettier-ignore
    expect(own.length).toBe(keys!.gates);
    expect(own.filter(({ rounds }) => rounds > 0).map(({ name }) => name)).toEqual([
      'mu.w.table', 'mu.w.o', 'mu.w', 'mu.F.table', 'mu.F.o', 'mu.F', '0.o_K', '0.o_Ksum', '1.o_K', '1.o_Ksum',
    ]); // prettier-ignore
    for (const of of ['sentBytes', 'dealtBytes'] as const)
      expect(Math.abs(own.reduce((sum, part) => sum + part[of], 0) - keys![of])).toBeLessThanOrEqual(own.length);
    const { out } = await secureInfer('explain', ...shape, '--hide-length', '16,32');
    expect(out).toMatch(
      /scores +scaled by and centred over a hidden number of tokens:\n +2 rounds more, [\d.]+ kB sent, [\d.]+ kB dealt/,
    );
    // one bucket, one length: nothing to scale by
    const alone = JSON.parse((await secureInfer('explain', ...shape, '--hide-length', '16', '--json')).out);
    expect(alone.hiding).toMatchObject({ scaled: false, centred: true, keys: { rounds: 2 } });
    expect(alone.hiding.keys.dealtBytes).toBeLessThan(keys!.dealtBytes);
    const wrong = await secureInfer('explain', '--shape', 'bert-tiny', '--softmax-act', 'softmax');
    expect(wrong.code).toBe(2);
    expect(wrong.err).toMatch(/2quad, 2quad_centred/);
  });

  it.each(['minilm', 'bert-base'])('prints %s in lines of a terminal of 80 columns', async (shape) => {
    const most = ['--batch', '16', '--hide-length', '64,128', '--softmax-act', '2quad_centred', '--gates'];
    const { out } = await secureInfer('explain', '--shape', shape, '--rtt', '100ms', '--bandwidth', '10Mbit', ...most);
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
    for (const part of ['layer', 'kind of gate', 'gate', 'memory of a party', 'dealt ahead'])
      expect(out).toContain(part);
  });

  it('takes a bundle, or one role’s folder of it, and says what people read', async () => {
    const { dir, program: small } = await exportSmall(1);
    try {
      const cost = programCost(small, { lengths: [7], heads: small.heads }).total;
      for (const bundle of [dir, `${dir}/assistant`]) {
        const { code, out } = await secureInfer('explain', bundle, '--seq', '7', '--json');
        expect(code).toBe(0);
        expect(JSON.parse(out)).toMatchObject({ plan: null, rounds: cost.rounds, dealtBytes: Math.ceil(cost.dealtBits / 8) }); // prettier-ignore
      }
      const { out } = await secureInfer('explain', dir, '--seq', '7');
      const [head, ...rows] = out.split('\n\n')[1]!.split('\n');
      expect(head!.split(/ {2,}/)).toEqual(['kind of gate', 'rounds', 'sent', 'dealt', 'client', 'products', 'time']); // prettier-ignore
      expect(new Set(rows.map((row) => row.length))).toEqual(new Set([head!.length]));
      expect(out).toMatch(new RegExp(`^rounds +${cost.rounds}$`, 'm'));
      const both = await secureInfer('explain', dir, '--shape', 'minilm');
      expect([both.code, both.out]).toEqual([2, '']);
    } finally {
      await rm(dirname(dir), { recursive: true, force: true });
    }
  });
});
