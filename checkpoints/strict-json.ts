/**
 * JSON as RFC 8259 writes it, without what JSON.parse forgives: a name given twice, `__proto__`, numbers that lose
 * precision, lone surrogates. Objects become Maps, numbers keep their text.
 */

export type Json = null | boolean | JsonNumber | string | Json[] | Map<string, Json>;

/** A number as written. */
export class JsonNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** The value if it is written as a whole number in 0 … 2^53−1, else undefined. */
  get count(): number | undefined {
    const value = /^(0|[1-9]\d*)$/.test(this.text) ? Number(this.text) : Number.NaN;
    return Number.isSafeInteger(value) ? value : undefined;
  }
}

/** The text is not JSON in the strict sense; `message` says why and where. */
export class JsonError extends Error {}

/** Deeper nesting than any file here has; keeps a hostile file from exhausting the stack. */
const MAX_DEPTH = 64;

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** @throws JsonError */
export function parseStrictJson(text: string): Json {
  let at = 0;
  const fail = (what: string): never => {
    throw new JsonError(`${what} at character ${at}`);
  };
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  const skip = (character: string): boolean => {
    take(SPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  const string = (): string => {
    take(SPACE);
    if (text[at] !== '"') return fail('no string');
    let end = at;
    // A quote after an odd run of backslashes is part of the string.
    for (let escaped = true; escaped;) {
      end = text.indexOf('"', end + 1);
      if (end < 0) return fail('a string without end');
      let slash = end;
      while (text[slash - 1] === '\\') slash--;
      escaped = (end - slash) % 2 === 1;
    }
    let value: string;
    try {
      value = JSON.parse(text.slice(at, end + 1)) as string;
    } catch {
      return fail('a malformed string');
    }
    if (LONE_SURROGATE.test(value)) fail('a lone surrogate in the string');
    at = end + 1;
    return value;
  };
  const value = (depth: number): Json => {
    if (depth > MAX_DEPTH) fail(`nested deeper than ${MAX_DEPTH}`);
    if (skip('{')) {
      const object = new Map<string, Json>();
      if (skip('}')) return object;
      do {
        const name = string();
        if (object.has(name)) fail(`the name ${JSON.stringify(name)} is given twice, again`);
        if (!skip(':')) fail('no colon');
        object.set(name, value(depth + 1));
      } while (skip(','));
      return skip('}') ? object : fail('no comma or closing brace');
    }
    if (skip('[')) {
      const array: Json[] = [];
      if (skip(']')) return array;
      do array.push(value(depth + 1));
      while (skip(','));
      return skip(']') ? array : fail('no comma or closing bracket');
    }
    if (text[at] === '"') return string();
    const word = take(WORD);
    if (word !== undefined) return word === 'null' ? null : word === 'true';
    const number = take(NUMBER);
    return number === undefined ? fail('no JSON value') : new JsonNumber(number);
  };
  const result = value(0);
  take(SPACE);
  return at === text.length ? result : fail('text after the value');
}
