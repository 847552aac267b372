/** Markup that is well-formed by construction: text is escaped, elements are closed, attributes are quoted. */

export interface Markup {
  readonly markup: string;
}

export type Child = Markup | string | number | undefined | readonly Child[];

/** Absent (undefined) attributes are left out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for element content or attribute values; control characters, which no document may hold, become U+FFFD. */
export const escape = (text: string): string =>
  text
    .replace(/[&<>"']/g, (c) => ESCAPES[c]!)
    // oxlint-disable-next-line no-control-regex
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]|\p{Cs}/gu, '\ufffd');

/** Markup from this project's own sources (a style sheet), as it stands. */
export const raw = (markup: string): Markup => ({ markup });

const render = (child: Child): string => {
  if (child === undefined) return '';
  if (typeof child === 'string') return escape(child);
  if (typeof child === 'number') return String(child);
  return 'markup' in child ? child.markup : child.map(render).join('');
};

/** Elements without content, written as HTML and XML both read them. */
const VOID = new Set(['meta', 'br', 'wbr', 'line', 'path', 'circle', 'polyline']);

/** An HTML or SVG element. */
export function h(tag: string, attributes: Attributes = {}, ...children: Child[]): Markup {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escape(String(value))}"`)
    .join('');
  const content = children.map(render).join('');
  return { markup: content === '' && VOID.has(tag) ? `<${tag}${written} />` : `<${tag}${written}>${content}</${tag}>` };
}
