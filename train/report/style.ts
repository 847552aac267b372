/** The page's style sheet. Both colour schemes are tested for contrast. */

/** Custom properties of the light scheme (default) and of the dark one. `run0` … are the colours of the runs compared. */
export const COLOURS = {
  light: {
    page: '#f5f6f8',
    card: '#ffffff',
    text: '#1a1d21',
    soft: '#59616b',
    rule: '#dfe3e8',
    run0: '#0067a8',
    run1: '#c2410c',
    run2: '#00784f',
    run3: '#a3347c',
    run4: '#7a5c00',
    run5: '#5b50c8',
    good: '#00784f',
    bad: '#b42318',
    warn: '#9a5b00',
    wanted: '#e3eef6',
    ramp0: '#0d0887',
    ramp1: '#7e03a8',
    ramp2: '#c03a83',
    ramp3: '#e0604e',
  },
  dark: {
    page: '#101317',
    card: '#191d23',
    text: '#e8eaed',
    soft: '#a4adb8',
    rule: '#30363e',
    run0: '#5cb3ee',
    run1: '#f59557',
    run2: '#43c795',
    run3: '#e68bc4',
    run4: '#d6b84c',
    run5: '#a9a3f7',
    good: '#43c795',
    bad: '#ff8a7a',
    warn: '#e0a93b',
    wanted: '#22344a',
    ramp0: '#f4ee5a',
    ramp1: '#fca636',
    ramp2: '#e8706a',
    ramp3: '#b85fc4',
  },
} as const;

/** Colours for the runs of one report; a seventh run begins again, and is told apart by its dashes. */
export const RUN_COLOURS = 6;

/**
 * Colours between which those of layers lie, in order: the perceptually uniform ramp `plasma`, whose lightness changes steadily, so
 * that it reads in every kind of colour vision; each scheme has the part that its cards contrast with.
 */
export const RAMP = ['ramp0', 'ramp1', 'ramp2', 'ramp3'] as const;

const properties = (colours: Readonly<Record<string, string>>): string =>
  Object.entries(colours)
    .map(([name, value]) => `--${name}:${value}`)
    .join(';');

const runs = Array.from({ length: RUN_COLOURS }, (_, i) => `.run${i}{--ink:var(--run${i})}`).join('\n');

export const STYLE = `
:root{color-scheme:light dark;${properties(COLOURS.light)}}
@media (prefers-color-scheme:dark){:root{${properties(COLOURS.dark)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:21px;line-height:1.3;margin:40px 0 4px}
h3{font-size:15px;line-height:1.35;font-weight:600;margin:0 0 8px}
p{margin:0 0 12px;max-width:75ch}
figure{margin:0}
.note,figcaption{color:var(--soft);font-size:14px}
figcaption{padding-bottom:8px;max-width:100ch}
.cards,.grid{display:grid;gap:16px;margin:16px 0}
.cards{grid-template-columns:repeat(auto-fit,minmax(128px,1fr))}
.grid{grid-template-columns:repeat(auto-fill,minmax(min(100%,430px),1fr))}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px;min-width:0}
.figure{font-size:24px;line-height:1.2;font-weight:600;font-variant-numeric:tabular-nums;margin:0}
.label{color:var(--soft);font-size:13px;margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px 6px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
th{font-weight:600}
td.number,th.number{text-align:right;padding-right:0;padding-left:16px}
td.number{white-space:nowrap}
td.best{font-weight:700}
.settings td{overflow-wrap:anywhere;min-width:9ch}
th code{overflow-wrap:break-word}
details{margin-top:8px}
summary{cursor:pointer;color:var(--soft);font-size:13px}
details table{margin-top:6px;font-size:13px}
code{font:13px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
svg.chart{display:block;width:100%;height:auto;overflow:visible}
svg.square{max-width:420px}
.tick,.axis{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.gridline,line.grid{stroke:var(--rule);stroke-width:1}
.line{fill:none;stroke:var(--ink);stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.faint{fill:none;stroke:var(--ink);stroke-width:1;opacity:.28}
.dot{fill:var(--ink);stroke:var(--card);stroke-width:1.5}
.ring{fill:none;stroke:var(--ink);stroke-width:1.5}
.leader{fill:none;stroke:var(--ink);stroke-width:1;opacity:.6}
.end{fill:var(--text);font-size:11px;font-variant-numeric:tabular-nums}
.ideal{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 4}
.mark{fill:var(--ink);opacity:.45}
.wanted{fill:var(--wanted)}
.seen{fill:var(--soft)}
.seen.outside{fill:var(--warn)}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:12px 0;padding:0;font-size:14px}
.legend li{display:flex;align-items:center;gap:7px;min-width:0;overflow-wrap:anywhere}
.run{display:flex;align-items:center;gap:8px}
.swatch{flex:none;width:26px;height:10px}
.rows{flex-direction:column}
.rows li{align-items:baseline}
.confusion td,.confusion th{padding:8px 14px;text-align:center;border:0}
.confusion tbody th{text-align:right}
.confusion .right,.confusion .wrong{border-radius:6px;border:2px solid var(--card);min-width:84px}
.confusion .right{background:color-mix(in srgb,var(--good) calc(var(--share)*30%),transparent)}
.confusion .wrong{background:color-mix(in srgb,var(--bad) calc(var(--share)*45%),transparent)}
.confusion .count{display:block;font-weight:600}
.confusion .share{display:block;color:var(--text);font-size:13px}
.confusion .all{color:var(--soft)}
.status{font-weight:600}
.status.in{color:var(--good)}
.status.out{color:var(--warn)}
${runs}
@media (max-width:600px){th,td{padding-right:8px}td.number,th.number{padding-left:8px}.confusion td,.confusion th{padding:8px 6px;overflow-wrap:anywhere}.confusion .right,.confusion .wrong{min-width:56px}}
@media print{body{background:#fff}.card{break-inside:avoid}details{display:none}}
`;
