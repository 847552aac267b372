import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportHtml } from '../../train/report/report.ts';
import { COLOURS } from '../../train/report/style.ts';
import { scoreRecord, studentRecord } from '../support/run-records.ts';

/** A Chromium on the path, if there is one. */
const browser = ['chromium', 'chromium-browser', 'google-chrome', 'chrome']
  .flatMap((name) => (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((path) => existsSync(path));
if (browser === undefined) process.stderr.write('no Chromium on the path: the report is not opened in a browser\n');

/** What the page says of itself once it is laid out, written where --dump-dom shows it. */
const PROBE = `<script>
addEventListener('load', () => {
  const box = (e) => e.getBoundingClientRect();
  const charts = [...document.querySelectorAll('svg.chart')];
  const found = {
    scheme: getComputedStyle(document.body).backgroundColor,
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - innerWidth,
    charts: charts.length,
    drawn: charts.filter((c) => box(c).width > 150 && box(c).height > 40).length,
    lines: [...document.querySelectorAll('.line')].filter((l) => getComputedStyle(l).stroke.startsWith('rgb') || getComputedStyle(l).stroke.startsWith('oklab')).length,
    allLines: document.querySelectorAll('.line').length,
    outside: charts.flatMap((c) => [...c.querySelectorAll('text')].filter((t) => {
      const [a, b] = [box(t), box(c)];
      return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1;
    }).map((t) => t.textContent)),
    cut: [...document.querySelectorAll('figcaption')].filter((c) => box(c).width > 0 && box(c).right > box(c.closest('.card, main')).right + 1).map((c) => c.textContent),
    touching: charts.flatMap((c) => {
      const ticks = [...c.querySelectorAll('text')];
      return ticks.flatMap((t, i) => ticks.slice(i + 1).filter((o) => {
        const [a, b] = [box(t), box(o)];
        return a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom;
      }).map((o) => t.textContent + '|' + o.textContent));
    }),
  };
  document.title = 'PROBE' + JSON.stringify(found) + 'END';
});
</script>`;

interface Probe {
  readonly scheme: string;
  readonly width: number;
  readonly overflow: number;
  readonly charts: number;
  readonly drawn: number;
  readonly lines: number;
  readonly allLines: number;
  readonly outside: readonly string[];
  /** Captions that go beyond their card. */
  readonly cut: readonly string[];
  readonly touching: readonly string[];
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'report-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

function open(html: string, width: number, dark: boolean): Probe {
  const file = join(folder, 'page.html');
  writeFileSync(file, html.replace('</body>', `${PROBE}</body>`));
  const args = [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', `--user-data-dir=${folder}/profile`],
    // Nothing may be fetched: every name resolves to nowhere.
    '--host-resolver-rules=MAP * ~NOTFOUND',
    `--blink-settings=preferredColorScheme=${dark ? 0 : 1}`,
    `--window-size=${width},900`,
    '--virtual-time-budget=5000',
    '--dump-dom',
    `file://${file}`,
  ];
  const dom = execFileSync(browser!, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1e8 });
  return JSON.parse(/PROBE(\{.*?\})END/.exec(dom)![1]!.replaceAll('&amp;', '&')) as Probe;
}

const rgb = (hex: string): string =>
  `rgb(${[1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)).join(', ')})`;

describe.runIf(browser !== undefined)('the report in Chromium', () => {
  const runs = [
    { name: 'a-run-with-a-rather-long-name-that-someone-gave-it', record: studentRecord(1) },
    { name: 'b', record: studentRecord(2) },
    { name: 'scores', record: scoreRecord() },
  ];
  for (const [what, html] of [
    ['one run', reportHtml(runs.slice(0, 1))],
    ['several runs', reportHtml(runs)],
  ] as const) {
    for (const dark of [false, true]) {
      for (const width of [1200, 500]) {
        it(`${what}, ${dark ? 'dark' : 'light'}, ${width} pixels wide: all is drawn, nothing overlaps or overflows`, () => {
          const probe = open(html, width, dark);
          expect(probe.width).toBe(width);
          expect(probe.scheme).toBe(rgb(COLOURS[dark ? 'dark' : 'light'].page));
          expect(probe.charts).toBeGreaterThan(10);
          expect(probe.drawn).toBe(probe.charts);
          expect(probe.lines).toBe(probe.allLines);
          expect(probe.overflow).toBeLessThanOrEqual(0);
          expect(probe.outside).toEqual([]);
          expect(probe.cut).toEqual([]);
          expect(probe.touching).toEqual([]);
        });
      }
    }
  }
});
