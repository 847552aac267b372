import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRunRecord, type RunRecord } from '../../checkpoints/run-record.ts';
import { seedGroups, settings } from '../../train/report/compare.ts';
import { h } from '../../train/report/markup.ts';
import { leaves, rangeBars, residuals, scatter, type WireRange } from '../../train/report/plots.ts';
import { reportHtml } from '../../train/report/report.ts';
import { COLOURS } from '../../train/report/style.ts';
import { byClass, byTag, findAll, parseMarkup, textOf } from '../support/markup.ts';
import { scoreRecord, studentRecord } from '../support/run-records.ts';

const page = (...names: string[]): ReturnType<typeof parseMarkup> =>
  parseMarkup(reportHtml(names.map((name, i) => ({ name, record: studentRecord(i + 1) }))));
const row = (table: ReturnType<typeof parseMarkup>, i: number): string[] =>
  byTag(table, 'tr')[i]!.children.map((cell) => (typeof cell === 'string' ? cell : textOf(cell)));

describe('markup', () => {
  it('keeps any text as text, in content and attributes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), (a, b) => {
        const [p] = byTag(parseMarkup(h('p', { title: a }, b, h('br')).markup), 'p');
        // oxlint-disable-next-line no-control-regex
        const clean = (s: string): string => s.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]|\p{Cs}/gu, '\ufffd');
        expect(p!.attributes.get('title')).toBe(clean(a));
        expect(textOf(p!)).toBe(clean(b));
      }),
    );
  });
});

describe('other pictures', () => {
  it('put predictions over targets', () => {
    const pairs: [number, number][] = [[0, 0], [5, 5], [5, 0]]; // prettier-ignore
    const svg = parseMarkup(scatter('s', { kind: 'scores', pairs }).markup);
    const at = byClass(svg, 'mark').map((e) => [Number(e.attributes.get('cx')), Number(e.attributes.get('cy'))]);
    const [ideal] = byClass(svg, 'ideal');
    expect(at[0]).toEqual([Number(ideal!.attributes.get('x1')), Number(ideal!.attributes.get('y1'))]);
    expect(at[1]).toEqual([Number(ideal!.attributes.get('x2')), Number(ideal!.attributes.get('y2'))]);
    expect(at[2]).toEqual([at[1]![0], at[0]![1]]);
  });

  it('put residuals over targets, zero on the dashed line', () => {
    const pairs: [number, number][] = [[1, 1], [2, 4], [3, 2]]; // prettier-ignore
    const svg = parseMarkup(residuals('r', { kind: 'scores', pairs }).markup);
    const [perfect, above, below] = byClass(svg, 'mark').map((e) => [Number(e.attributes.get('cx')), Number(e.attributes.get('cy'))]); // prettier-ignore
    const [ideal] = byClass(svg, 'ideal');
    expect(ideal!.attributes.get('y1')).toBe(ideal!.attributes.get('y2'));
    expect(perfect![1]).toBeCloseTo(Number(ideal!.attributes.get('y1')), 1);
    // Twice as far above as the other is below; targets evenly spaced.
    expect(perfect![1]! - above![1]!).toBeCloseTo(2 * (below![1]! - perfect![1]!), 0);
    expect(below![0]! - above![0]!).toBeCloseTo(above![0]! - perfect![0]!, 0);
  });

  it('draw ranges over their intervals', () => {
    const svg = parseMarkup(rangeBars('r', 't', studentRecord().ranges!.slice(0, 2)).markup);
    const of = (name: string) =>
      byClass(svg, name).map((e) => {
        const x = Number(e.attributes.get('x'));
        return [x, x + Number(e.attributes.get('width'))] as const;
      });
    const [wanted, ...others] = of('wanted');
    expect(others).toEqual([wanted]);
    const [inside, outside] = of('seen');
    expect(inside![0]).toBeGreaterThan(wanted![0]);
    expect(inside![1]).toBeLessThan(wanted![1]);
    expect(outside![0]).toBeLessThan(wanted![0]);
    expect(outside![1]).toBeGreaterThan(wanted![1]);
    expect(byClass(svg, 'outside').length).toBe(1);
  });

  it('draw an interval without a least value from the edge on', () => {
    const ranges = [-7, -3].map((max, layer): WireRange => ({ wire: 'w', layer, min: -12, max, interval: [null, -5] }));
    const svg = parseMarkup(rangeBars('r', 't', ranges).markup);
    const [wanted] = byClass(svg, 'wanted');
    const [inside, outside] = byClass(svg, 'seen');
    const x = (e: typeof wanted): number => Number(e!.attributes.get('x'));
    const end = (e: typeof wanted): number => x(e) + Number(e!.attributes.get('width'));
    expect(x(wanted)).toBeLessThanOrEqual(x(inside));
    expect(end(inside)).toBeLessThan(end(wanted));
    expect(end(outside)).toBeGreaterThan(end(wanted));
    expect(byClass(svg, 'outside')).toEqual([outside]);
    expect(ranges.map(leaves)).toEqual([false, true]);
    const html = reportHtml([{ name: 'one', record: studentRecord(1, { ranges }) }]);
    expect(html).toContain('at most −5');
    expect(html).toContain('beyond the shaded interval in layer 1');
  });
});

describe('the page', () => {
  it('is well-formed, self-contained and the same for the same runs', () => {
    const runs = [{ name: 'one', record: studentRecord() }];
    const html = reportHtml(runs);
    expect(parseMarkup(html).children.length).toBeGreaterThan(0);
    expect(reportHtml(runs)).toBe(html);
    expect(html).not.toMatch(/<script|https?:|src=|href=|@import|url\((?!#)/);
    expect(html.length).toBeLessThan(200_000);
  });

  it('shows a run: curves, errors by layer, answers, ranges, settings', () => {
    const root = page('my-run');
    const text = textOf(root);
    expect(textOf(byTag(root, 'h1')[0]!)).toBe('Training run my-run');
    for (const words of ['1 h 2 min', '0.81', 'Stage 1: layers', 'Stage 2: logits', '40 steps of 16 examples']) {
      expect(text).toContain(words);
    }
    const titles = byTag(root, 'h3').map(textOf);
    expect(titles.filter((title) => title.includes('by layer'))).toEqual([
      'Hidden states, error by layer',
      'Attention scores, error by layer',
    ]);
    expect(titles).toContain('Dev accuracy');
    const layers = byTag(root, 'section').find((e) => textOf(e).startsWith('Hidden states, error by layer'))!;
    expect(byClass(layers, 'line').length).toBe(4);
    // Layer 3: 4/1 at step 1, 4/60 at the last.
    expect(row(byTag(layers, 'table')[0]!, 4)).toEqual(['layer 3', '4', '0.06667']);
    expect(text).toContain('beyond the shaded interval in layer 1');
    expect(text).toContain('a'.repeat(64));
  });

  it('has a table beside every chart, with the recorded values', () => {
    const root = page('x');
    const chart = byTag(root, 'section').find((e) => textOf(e).startsWith('Dev accuracy'))!;
    const [table] = byTag(chart, 'table');
    expect(byTag(table!, 'tr').map((_, i) => row(table!, i)).slice(1)).toEqual([
      ['10', '0.65'],
      ['20', '0.7'],
      ['30', '0.75'],
      ['40', '0.8'],
    ]); // prettier-ignore
    for (const section of byClass(root, 'card')) {
      if (byClass(section, 'chart').length > 0) expect(byTag(section, 'table').length).toBeGreaterThan(0);
    }
  });

  it('names every picture for those who cannot see it, by ids that are unique', () => {
    const root = page('x', 'y');
    const ids = findAll(root, (e) => e.attributes.has('id')).map((e) => e.attributes.get('id')!);
    expect(new Set(ids).size).toBe(ids.length);
    const charts = byClass(root, 'chart');
    expect(charts.length).toBeGreaterThan(10);
    for (const chart of charts) {
      expect(chart.attributes.get('role')).toBe('img');
      const named = chart.attributes.get('aria-labelledby')!.split(' ');
      expect(named.map((id) => findAll(chart, (e) => e.attributes.get('id') === id).map((e) => e.tag))).toEqual([
        ['title'],
        ['desc'],
      ]);
    }
    const clips = charts.flatMap((chart) => findAll(chart, (e) => e.attributes.has('clip-path')));
    for (const clip of clips) expect(ids).toContain(/^url\(#(.+)\)$/.exec(clip.attributes.get('clip-path')!)![1]);
  });

  it('shows a confusion matrix, also of a class that does not occur', () => {
    const [table] = byClass(page('x'), 'confusion');
    expect(row(table!, 0)).toEqual(['', 'bad', 'good', 'mixed', 'all']);
    expect(row(table!, 1)).toEqual(['bad', '41798 %', '51.2 %', '30.7 %', '425']);
    expect(row(table!, 3)).toEqual(['mixed', '0', '0', '0', '0']);
  });

  it('shows targets and predictions of a regression', () => {
    const root = parseMarkup(reportHtml([{ name: 'sts', record: scoreRecord() }]));
    // Three examples, as predictions and as residuals.
    expect(byClass(root, 'mark').length).toBe(6);
    const table = byTag(
      byTag(root, 'figure').find((e) => textOf(e).startsWith('Prediction − target'))!,
      'table',
    )[0]!;
    // Residuals 0.5, 0, −1: mean −1/6, root mean square √(1.25/3).
    expect(row(table, 1)).toEqual(['mean', '−0.1667']);
    expect(row(table, 2)).toEqual(['root mean square', '0.6455']);
    expect(row(table, 5)).toEqual(['median', '0']);
  });

  it('marks predictions in the colour of their run', () => {
    const runs = ['a', 'b'].map((name) => ({ name, record: scoreRecord() }));
    const cards = byClass(parseMarkup(reportHtml(runs)), 'card').filter((e) => byClass(e, 'mark').length > 0);
    const classes = cards.map((e) => e.attributes.get('class'));
    expect(classes).toEqual(['card run0', 'card run0', 'card run1', 'card run1']);
  });

  it('compares runs: results, differing settings, spread over seeds', () => {
    const root = page('a', 'b', 'c');
    const [results, seeds, differences] = byTag(root, 'table');
    expect(row(results!, 0)).toEqual(['Run', 'Command', 'Dev accuracy', 'Dev loss', 'Steps', 'Time']);
    expect(row(results!, 3)).toEqual(['c', 'student', '0.83', '0.3', '100', '1 h 2 min']);
    expect(byClass(byTag(results!, 'tr')[3]!, 'best').map(textOf)).toEqual(['0.83', '0.3']);
    expect(byClass(byTag(results!, 'tr')[1]!, 'best').map(textOf)).toEqual(['0.3']);
    // On other data nothing is better or worse.
    const other = studentRecord(2, { dataHash: { train: 'a'.repeat(64), dev: 'd'.repeat(64) } });
    const apart = parseMarkup(reportHtml([{ name: 'a', record: studentRecord(1) }, { name: 'b', record: other }])); // prettier-ignore
    expect(byClass(apart, 'best')).toEqual([]);
    expect(row(seeds!, 1)).toEqual(['a, b, c', '0.82 ± 0.01', '0.3 ± 0']);
    const rows = byTag(differences!, 'tr').map((_, i) => row(differences!, i));
    expect(rows.slice(1)).toEqual([['seed', '1', '2', '3']]);
    const chart = byTag(root, 'section').find((e) => textOf(e).startsWith('Loss, weighted sum'))!;
    expect(byClass(chart, 'line').map((e) => e.attributes.get('class'))).toEqual([
      'line run0',
      'line run1',
      'line run2',
    ]);
  });

  it('heads each stage with the runs that took it, their place and what they kept', () => {
    const of = (name: string, stages: string[], kept: number): { name: string; record: RunRecord } => {
      const recipe = { stages: stages.map((stage) => ({ name: stage, batchSize: 8, learningRate: 1e-4 })) };
      const curve = stages.flatMap((stage) =>
        [1, 2, 3].flatMap((step) => [
          { stage, step, values: { loss: 1 / step, rate: 1e-4 } },
          { stage, step, values: { 'dev.accuracy': 1, 'dev.loss': 0.5 } },
        ]),
      );
      const outcomes = stages.map((stage) => ({ stage, steps: 3, chosenStep: kept, stoppedEarly: false, metrics: {} }));
      return { name, record: studentRecord(1, { config: { recipe, frozen: [] }, curve, outcomes }) };
    };
    const runs = [of('teacher', ['fine-tune'], 3), of('one', ['joint'], 2), of('two', ['layers', 'joint'], 3)];
    const root = parseMarkup(reportHtml(runs));
    const heads = byTag(root, 'h2').map(textOf).filter((text) => text.startsWith('Stage')); // prettier-ignore
    expect(heads).toEqual(['Stage “fine-tune” (teacher)', 'Stage “joint”', 'Stage 1: layers (two)']);
    const stages = byTag(root, 'section').filter((e) => textOf(e).startsWith('Stage'));
    expect(textOf(byClass(stages[0]!, 'note')[0]!)).toBe(
      '3 steps of 8 examples, peak learning rate 1e−4, weights of the last step kept.',
    );
    expect(stages.map((stage) => byClass(stage, 'legend').flatMap((e) => byTag(e, 'li').map(textOf)))).toEqual([
      [],
      [
        'one its only stage, 3 steps of 8 examples, peak learning rate 1e−4, weights of step 2 kept',
        'two stage 2 of 2, 3 steps of 8 examples, peak learning rate 1e−4, weights of the last step kept',
      ],
      [],
    ]);
    // A ring for each run at the weights it kept, on both dev measures, above the tick of its step.
    const rings = byClass(stages[1]!, 'ring');
    expect(rings.map((e) => e.attributes.get('class'))).toEqual(['ring run1', 'ring run2', 'ring run1', 'ring run2']);
    const ticks = byClass(stages[1]!, 'tick').filter((e) => textOf(e) === '2');
    expect(Number(rings[0]!.attributes.get('cx'))).toBeCloseTo(Number(ticks[0]!.attributes.get('x')), 0);
    // Of one run and several, the accuracy of 1 ends the axis.
    const accuracy = byTag(stages[0]!, 'section').find((e) => textOf(e).startsWith('Dev accuracy'))!;
    expect(byClass(accuracy, 'tick').map(textOf)).toContain('0.95');
    expect(byClass(accuracy, 'tick').map(textOf)).not.toContain('1.5');
    // Settings of a stage that one run alone has are in its name.
    const settingsTable = byClass(root, 'settings')[0]!;
    const keys = byTag(settingsTable, 'code').map(textOf);
    expect(keys.filter((key) => key.startsWith('recipe.stages.1.'))).toEqual(['recipe.stages.1.name']);
  });

  it('numbers the stages of several runs where they have the same place', () => {
    const heads = byTag(page('a', 'b'), 'h2').map(textOf);
    expect(heads.filter((text) => text.startsWith('Stage'))).toEqual(['Stage 1: layers', 'Stage 2: logits']);
  });

  it('tells layers apart by colour, dashes and a number at the end of each line', () => {
    const card = byTag(page('x'), 'section').find((e) => textOf(e).startsWith('Hidden states, error by layer'))!;
    const lines = byClass(card, 'line').map((e) => ['style', 'stroke-dasharray'].map((name) => e.attributes.get(name)));
    expect(new Set(lines.map(([style]) => style)).size).toBe(4);
    lines.slice(1).forEach(([, dashes], i) => expect(dashes).not.toBe(lines[i]![1]));
    expect(byClass(card, 'end').map(textOf)).toEqual(['0', '1', '2', '3']);
  });

  it('keeps captions out of the boxes that scroll', () => {
    const root = page('a', 'b');
    const boxes = byClass(root, 'scroll');
    expect(boxes.length).toBeGreaterThan(10);
    for (const box of boxes) expect(byTag(box, 'caption').concat(byTag(box, 'figcaption'))).toEqual([]);
    expect(byTag(root, 'figcaption').map(textOf)).toContain(
      'Settings that differ between the runs; – stands for none.',
    );
  });

  it('keeps hostile names as text', () => {
    const name = '</style><script>alert("1")</script>&amp;';
    const record = studentRecord(1, {
      evaluation: { kind: 'classes', labels: [name, 'b'], confusion: [[1, 0], [0, 1]] }, // prettier-ignore
      config: { [name]: name },
    });
    const root = parseMarkup(
      reportHtml(
        [
          { name, record },
          { name: 'b', record },
        ],
        name,
      ),
    );
    expect(textOf(byTag(root, 'h1')[0]!)).toBe(name);
    expect(byTag(root, 'script')).toEqual([]);
    expect(textOf(root).split(name).length).toBeGreaterThan(5);
  });

  it('takes records without curves, evaluation or ranges, and single steps', () => {
    const { evaluation: _e, ranges: _r, ...bare } = studentRecord(1, { curve: [], metrics: {} });
    const html = reportHtml([{ name: 'swap', record: bare }]);
    expect(byClass(parseMarkup(html), 'chart')).toEqual([]);
    const one = { ...bare, curve: studentRecord().curve.slice(0, 1) };
    expect(byClass(parseMarkup(reportHtml([{ name: 'one', record: one }])), 'chart')).toEqual([]);
    const two = { ...bare, curve: studentRecord().curve.slice(0, 2) };
    expect(reportHtml([{ name: 'two', record: two }])).not.toMatch(/NaN|Infinity|undefined/);
  });

  it('never shows a number that is none', () => {
    expect(
      reportHtml([
        { name: 'a', record: studentRecord() },
        { name: 'b', record: scoreRecord() },
      ]),
    ).not.toMatch(/NaN|Infinity|undefined|\[object/);
  });
});

describe('what is compared', () => {
  it('flattens settings', () => {
    const flat = settings({ name: 'x', record: studentRecord() });
    expect(flat.get('recipe.stages.1.learningRate')).toBe('0.00001');
    expect(flat.get('data.train')).toBe('a'.repeat(12));
    expect(flat.get('shift')).toBe('1.5 to 2.5 (1 × 2)');
    const lists = settings({ name: 'x', record: studentRecord(1, { config: { labels: 'a,b', frozen: [] } }) });
    expect([lists.get('labels'), lists.get('frozen')]).toEqual(['a, b', '–']);
  });

  it('scales like pictures of several runs alike', () => {
    const root = page('a', 'b');
    const axis = (title: string): string[] => {
      const card = byTag(root, 'section').find((e) => textOf(e).startsWith(title))!;
      return byClass(card, 'tick').map(textOf);
    };
    expect(axis('Hidden states, error by layer: a')).toEqual(axis('Hidden states, error by layer: b'));
  });

  it('groups by everything but the seed', () => {
    const runs = [1, 2, 3].map((seed) => ({ name: `s${seed}`, record: studentRecord(seed) }));
    const other = { name: 'o', record: studentRecord(4, { dataHash: { train: 'd'.repeat(64) } }) };
    const groups = seedGroups([...runs, other]);
    expect(groups.map(({ names }) => names)).toEqual([['s1', 's2', 's3']]);
    const accuracy = groups[0]!.metrics.get('dev.accuracy')!;
    expect(accuracy.mean).toBeCloseTo(0.82, 12);
    expect(accuracy.deviation).toBeCloseTo(0.01, 12);
  });

  it('records survive their schema', () => {
    for (const record of [studentRecord(), scoreRecord()]) {
      expect(parseRunRecord(JSON.parse(JSON.stringify(record)), 'x')).toEqual(record);
    }
  });
});

describe('colours', () => {
  const luminance = (hex: string): number => {
    const [r, g, b] = [1, 3, 5].map((i) => {
      const c = Number.parseInt(hex.slice(i, i + 2), 16) / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  /** WCAG 2.1's contrast ratio. */
  const contrast = (a: string, b: string): number => {
    const [x, y] = [luminance(a), luminance(b)].toSorted((p, q) => q - p);
    return (x! + 0.05) / (y! + 0.05);
  };
  for (const scheme of ['light', 'dark'] as const) {
    const colours = COLOURS[scheme];
    it(`${scheme}: text at 4.5 to 1, lines and bars at 3 to 1 (WCAG 2.1 AA)`, () => {
      for (const ground of [colours.page, colours.card] as const) {
        for (const ink of [colours.text, colours.soft, colours.good, colours.warn] as const) {
          expect(contrast(ink, ground), `${ink} on ${ground}`).toBeGreaterThanOrEqual(4.5);
        }
      }
      const { run0, run1, run2, run3, run4, run5, ramp0, ramp1, ramp2, ramp3, soft, warn, card, wanted } = colours;
      for (const ink of [run0, run1, run2, run3, run4, run5, ramp0, ramp1, ramp2, ramp3, warn]) {
        expect(contrast(ink, card), `${ink} on ${card}`).toBeGreaterThanOrEqual(3);
      }
      for (const ink of [soft, warn]) expect(contrast(ink, wanted), `${ink} on ${wanted}`).toBeGreaterThanOrEqual(3);
    });
  }
});
