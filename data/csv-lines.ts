/** Where the records of a CSV text begin, and where its quoting breaks: what a reader of it needs to find the place. */

export interface CsvLines {
  /** Line on which each record begins, from 1; lines are counted within quotations too. */
  readonly starts: readonly number[];
  /** The first broken quotation, where the scan ends: the line to look at, and what is wrong there. */
  readonly broken?: { readonly line: number; readonly what: string };
}

/** Scans as RFC 4180 quotes: a cell that begins with a double quote ends with one, and a quote inside is doubled. */
export function csvLines(text: string): CsvLines {
  const starts: number[] = [];
  let line = 1;
  let at = 0;
  const endsCell = (): boolean =>
    at >= text.length || text[at] === ',' || text[at] === '\n' || text.startsWith('\r\n', at);
  while (at < text.length) {
    starts.push(line);
    for (let more = true; more;) {
      if (text[at] === '"') {
        const opened = line;
        for (let within = true; within;) {
          const end = text.indexOf('"', at + 1);
          if (end < 0) return { starts, broken: { line: opened, what: 'the quotation that opens here is not closed' } };
          for (let i = text.indexOf('\n', at); i >= 0 && i < end; i = text.indexOf('\n', i + 1)) line++;
          within = text[end + 1] === '"';
          at = within ? end + 1 : end;
        }
        at++;
        if (!endsCell()) {
          const where = line === opened ? '' : ` on line ${line}`;
          const what = `after the quotation that opens here and ends${where} the cell goes on`;
          return { starts, broken: { line: opened, what } };
        }
      } else {
        while (!endsCell() && text[at] !== '"') at++;
        if (text[at] === '"') return { starts, broken: { line, what: 'a quotation mark within an unquoted cell' } };
      }
      if (text[at] === '\r') at++;
      more = text[at] === ',';
      at++;
    }
    line++;
  }
  return { starts };
}
