/** Tables in boxes that scroll sideways on narrow screens; what they are called stands above the box and does not. */
import { h, type Child, type Markup } from './markup.ts';

/** A table with its caption. */
export const captioned = (caption: string, table: Markup): Markup =>
  h('figure', {}, h('figcaption', {}, caption), h('div', { class: 'scroll' }, table));

/** A dotted path that may be broken after each dot. */
export const breakable = (path: string): Child => path.split(/(?<=\.)/).flatMap((part) => [part, h('wbr')]);

/** A values table that says what the chart above it shows, for those who cannot see it or want numbers. */
export function fallback(title: string, head: readonly string[], rows: readonly (readonly Child[])[]): Markup {
  return h(
    'details',
    {},
    h('summary', {}, 'Table'),
    captioned(
      title,
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, head.map((name, i) => h('th', { scope: 'col', class: i === 0 ? undefined : 'number' }, name)))), // prettier-ignore
        h('tbody', {}, rows.map((row) => h('tr', {}, row.map((cell, i) => (i === 0 ? h('th', { scope: 'row' }, cell) : h('td', { class: 'number' }, cell)))))), // prettier-ignore
      ),
    ),
  );
}
