import * as zlib from 'node:zlib';
import type { Compressors, FileMetaData, SchemaTree } from 'hyparquet';
import { parquetMetadata, parquetReadObjects, parquetSchema } from 'hyparquet';
import { InputError } from '../common/errors.ts';

/** The columns of a Parquet file, read when asked for. */
export interface ParquetTable {
  /** Names of the top-level columns, in the order of the schema. */
  readonly names: readonly string[];
  /** A column of UTF-8 text. @throws InputError if it holds anything else, naming the row where one is missing or broken */
  texts(name: string): Promise<string[]>;
  /** A column of text, numbers or booleans, as text. @throws InputError as `texts` */
  labels(name: string): Promise<string[]>;
}

type Element = SchemaTree['element'];

const REWRITE = 'Write the file again, for example with pandas: frame.to_parquet(path).';

/** Node reads zstd from 22.15 on; the types are of an older version. */
const zstd = (zlib as { zstdDecompressSync?: (bytes: Uint8Array) => Uint8Array }).zstdDecompressSync;

/** The library undoes Snappy by itself. A page says how long it is, so that no page can inflate beyond that. */
const COMPRESSORS: Compressors = {
  GZIP: (bytes, length) => zlib.gunzipSync(bytes, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (bytes, length) => zlib.brotliDecompressSync(bytes, { maxOutputLength: Math.max(1, length) }),
  ...(zstd === undefined ? {} : { ZSTD: zstd }),
};
const READABLE: ReadonlySet<string> = new Set(['UNCOMPRESSED', 'SNAPPY', ...Object.keys(COMPRESSORS)]);

/**
 * Parses the footer of a Parquet file held in memory.
 * @throws InputError naming the file if it is none, is cut off, or has two columns of one name.
 */
export function openParquet(bytes: Buffer, file: string): ParquetTable {
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
  const broken = (error: unknown): InputError =>
    new InputError(`${file}: not a readable Parquet file (${(error as Error).message})`, REWRITE);
  let metadata: FileMetaData;
  let fields: SchemaTree[];
  try {
    if (bytes.toString('latin1', 0, 4) !== 'PAR1') throw new Error('it does not begin with PAR1');
    metadata = parquetMetadata(buffer);
    fields = parquetSchema(metadata).children;
  } catch (error) {
    throw broken(error);
  }
  const names = fields.map(({ element }) => element.name);
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) {
    throw new InputError(`${file}: two columns are called '${repeated}'`, 'Give every column its own name.');
  }

  const read = async (name: string): Promise<{ element: Element; values: unknown[] }> => {
    const field = fields[names.indexOf(name)]!;
    if (field.children.length > 0 || field.element.repetition_type === 'REPEATED') {
      throw new InputError(`${file}: column '${name}' holds ${kindOf(field)}, not one value a row`, REWRITE);
    }
    refuseCodec(metadata, name, file);
    try {
      const rows = await parquetReadObjects({
        file: { byteLength: buffer.byteLength, slice: (from, to) => buffer.slice(from, to) },
        metadata,
        columns: [name],
        compressors: COMPRESSORS,
        // Bytes are decoded here and strictly, so that an error can name its row.
        utf8: false,
        parsers: { stringFromBytes: (raw) => raw },
      });
      if (rows.length !== Number(metadata.num_rows))
        throw new Error(`${rows.length} rows where ${metadata.num_rows} are announced`);
      return { element: field.element, values: rows.map((row) => row[name] as unknown) };
    } catch (error) {
      throw broken(error);
    }
  };

  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (value: unknown, name: string, row: number): string => {
    if (value === null || value === undefined) {
      throw new InputError(
        `${file}, row ${row}: column '${name}' is empty (null)`,
        'Remove the row, or name another column.',
      );
    }
    if (!(value instanceof Uint8Array)) throw broken(new Error(`column '${name}', row ${row}: no bytes`));
    try {
      return decoder.decode(value);
    } catch {
      throw new InputError(`${file}, row ${row}: column '${name}' is not UTF-8`, REWRITE);
    }
  };

  return {
    names,
    async texts(name) {
      const { element, values } = await read(name);
      if (!isText(element)) {
        throw new InputError(
          `${file}: column '${name}' holds ${typeName(element)}, not text`,
          'Name a column of strings with --text-column or --pair-column.',
        );
      }
      return values.map((value, i) => decode(value, name, i + 1));
    },
    async labels(name) {
      const { element, values } = await read(name);
      return values.map((value, i) => {
        if (isText(element)) return decode(value, name, i + 1);
        if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
        if (value === null || value === undefined) return decode(value, name, i + 1);
        throw new InputError(
          `${file}: column '${name}' holds ${typeName(element)}, no labels`,
          'Name a column of strings, numbers or booleans with --label-column.',
        );
      });
    },
  };
}

/** Text, or bytes without any annotation, as older writers store it. */
const isText = ({ type, converted_type: old, logical_type: logical }: Element): boolean =>
  type === 'BYTE_ARRAY' &&
  (old === 'UTF8' || logical?.type === 'STRING' || (old === undefined && logical === undefined));

const typeName = (element: Element): string =>
  element.logical_type?.type ?? element.converted_type ?? element.type ?? 'values of no type';

const kindOf = ({ element, children }: SchemaTree): string =>
  element.repetition_type === 'REPEATED' || /^(LIST|MAP)/.test(element.converted_type ?? '')
    ? 'lists'
    : `${children.length} columns of its own`;

function refuseCodec(metadata: FileMetaData, name: string, file: string): void {
  for (const { columns } of metadata.row_groups) {
    const codec = columns.find((column) => column.meta_data?.path_in_schema[0] === name)?.meta_data?.codec;
    if (codec === undefined || READABLE.has(codec)) continue;
    const newer = codec === 'ZSTD' ? ' Node 22.15 and later read ZSTD.' : '';
    throw new InputError(
      `${file}: column '${name}' is compressed with ${codec}, which is not read here`,
      `Write the file with Snappy, gzip, Brotli or no compression.${newer}`,
    );
  }
}
