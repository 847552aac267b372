/** A parser of the well-formed subset that HTML and XML both read: it refuses everything a browser would have to mend. */

export interface Element {
  readonly tag: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: (Element | string)[];
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

function decode(text: string): string {
  return text.replace(/&([^;]{0,10};?)/g, (whole, name: string) => {
    const character = name.endsWith(';') ? ENTITIES[name.slice(0, -1)] : undefined;
    if (character === undefined) throw new Error(`stray ampersand: ${whole}`);
    return character;
  });
}

/** @throws Error at the first character that is not well-formed */
export function parseMarkup(source: string): Element {
  const root: Element = { tag: '', attributes: new Map(), children: [] };
  const open: Element[] = [root];
  let at = /^<!doctype html>\s*/.exec(source)?.[0].length ?? 0;
  while (at < source.length) {
    const parent = open.at(-1)!;
    if (source[at] !== '<') {
      const end = source.indexOf('<', at);
      const text = source.slice(at, end < 0 ? source.length : end);
      if (text.includes('>') && parent.tag !== 'style') throw new Error(`stray > in text: ${text.slice(0, 40)}`);
      parent.children.push(parent.tag === 'style' ? text : decode(text));
      at += text.length;
      continue;
    }
    const close = /^<\/([A-Za-z0-9]+)>/.exec(source.slice(at, at + 40));
    if (close !== null) {
      if (open.pop()!.tag !== close[1]) throw new Error(`</${close[1]}> closes <${parent.tag}>`);
      at += close[0].length;
      continue;
    }
    const start = /<([A-Za-z][A-Za-z0-9]*)((?: [A-Za-z][\w:-]*="[^"<]*")*)( \/)?>/y;
    start.lastIndex = at;
    const tag = start.exec(source);
    if (tag === null) throw new Error(`no tag: ${source.slice(at, at + 60)}`);
    const attributes = new Map<string, string>();
    for (const [, name, value] of tag[2]!.matchAll(/ ([A-Za-z][\w:-]*)="([^"]*)"/g)) {
      if (attributes.has(name!)) throw new Error(`<${tag[1]}> has ${name} twice`);
      attributes.set(name!, decode(value!));
    }
    const element: Element = { tag: tag[1]!, attributes, children: [] };
    parent.children.push(element);
    if (tag[3] === undefined) open.push(element);
    at = start.lastIndex;
  }
  if (open.length > 1) throw new Error(`<${open.at(-1)!.tag}> is not closed`);
  return root;
}

/** All elements below (and the element itself) for which the test holds, in document order. */
export function findAll(element: Element, test: (e: Element) => boolean): Element[] {
  const below = element.children.flatMap((child) => (typeof child === 'string' ? [] : findAll(child, test)));
  return test(element) ? [element, ...below] : below;
}

export const textOf = (element: Element): string =>
  element.children.map((child) => (typeof child === 'string' ? child : textOf(child))).join('');

export const byTag = (root: Element, tag: string): Element[] => findAll(root, (e) => e.tag === tag);
export const byClass = (root: Element, name: string): Element[] =>
  findAll(root, (e) => (e.attributes.get('class') ?? '').split(' ').includes(name));
