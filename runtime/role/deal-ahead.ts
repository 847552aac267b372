/** The assistant deals before anybody asks: one file a role and deal, sealed, to be carried to the parties by any channel. */
import { mkdir, open, rename, rm, statfs, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { RefusedError } from '../../common/errors.ts';
import { syncFolder } from '../../common/sync-folder.ts';
import { programCost } from '../../protocol/cost.ts';
import type { Dims } from '../../protocol/shape.ts';
import { extract } from '../../ring/prg-node.ts';
import { Secret } from '../../ring/secret.ts';
import { giveBack } from '../buffers.ts';
import { correctionLimit, deal } from '../deal.ts';
import { concat, hex, type Certificates } from '../encoding.ts';
import { KEY_BYTES, maskSource, sessionKey, SYSTEM_ENTROPY } from '../keys.ts';
import type { AssistantModel } from './assistant-session.ts';
import { bodyKey, dealId, encodePrefix, encodeTerms, HOLDERS, RECORD_BYTES, sealRecord, type DealTerms, type Holder } from './deal-file.ts'; // prettier-ignore

/** The key under which the assistant keeps the seeds of deals: whoever has the folder alone, without its bundle, has nothing. */
export const keeperKey = (modelId: Uint8Array, seeds: readonly [Secret, Secret]): Secret => {
  const both = new Secret(concat(seeds[0].bytes, seeds[1].bytes));
  const key = extract(modelId, both);
  both.erase();
  return key;
};

export interface AheadOptions {
  readonly certificates: Omit<Certificates, 'client'>;
  /** Folder that gets `assistant`, `party0` and `party1`, each a role's stock. */
  readonly out: string;
  /** Tokens of the texts of one session. */
  readonly lengths: readonly number[];
  /** Seconds a deal may be used. */
  readonly lifetime: number;
}

/** What a deal takes: known before it is made. */
export interface DealSize {
  /** Words dealt, as `secure-infer explain` declares them. */
  readonly dealtBytes: number;
  /** Party 1's file at most: frames, seals and padding to bytes with it. The files of the others have less than 1 kB. */
  readonly fileBytes: number;
}

const HEADER_BYTES = 1024;

/** @throws PlanError where the program does not hold for these lengths */
export function dealSize({ program }: Pick<AssistantModel, 'program'>, lengths: readonly number[]): DealSize {
  const { gates, total } = programCost(program, { lengths, heads: program.heads });
  const frames = gates
    .filter(({ cost }) => cost.dealtBits > 0)
    .reduce((sum, { cost }) => sum + correctionLimit(cost.dealtBits) + RECORD_BYTES, 0);
  return {
    dealtBytes: Math.ceil(total.dealtBits / 8),
    fileBytes: frames + HEADER_BYTES + 4 * lengths.length,
  };
}

/** @throws RefusedError if the disk under `dir` has not `bytes` left */
export async function checkRoom(dir: string, bytes: number): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize < bytes)
    throw new RefusedError(`${dir}: ${bytes} bytes to write, ${bavail * bsize} left on the disk`, 'deal less, or elsewhere'); // prettier-ignore
}

/** A file that gets its name only when it is whole and on the disk. */
class Growing {
  readonly #handle: FileHandle;
  readonly #dir: string;
  readonly #name: string;
  readonly #part: string;
  #at = 0;

  private constructor(handle: FileHandle, dir: string, name: string, part: string) {
    this.#handle = handle;
    this.#dir = dir;
    this.#name = name;
    this.#part = part;
  }

  static async create(dir: string, name: string): Promise<Growing> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const part = join(dir, `.${name}.part`);
    return new Growing(await open(part, 'w', 0o600), dir, name, part);
  }

  get bytes(): number {
    return this.#at;
  }

  async append(...parts: readonly Uint8Array[]): Promise<void> {
    for (const part of parts) {
      for (let done = 0; done < part.length;) {
        const { bytesWritten } = await this.#handle.write(part, done, part.length - done, this.#at);
        done += bytesWritten;
        this.#at += bytesWritten;
      }
    }
  }

  /** Overwrites the beginning. */
  async begin(prefix: Uint8Array): Promise<void> {
    await this.#handle.write(prefix, 0, prefix.length, 0);
  }

  async finish(): Promise<void> {
    await this.#handle.sync();
    await this.#handle.close();
    await rename(this.#part, join(this.#dir, this.#name));
    await syncFolder(this.#dir);
  }

  async abandon(): Promise<void> {
    await this.#handle.close().catch(() => {});
    await rm(this.#part, { force: true });
  }
}

/**
 * Deals once, for one session of texts of these lengths. Party 0's file comes last: a deal that was not finished is never offered.
 * Returns the identifier and the bytes of party 1's file.
 */
export async function dealAhead(
  model: AssistantModel,
  keeper: Secret,
  options: AheadOptions,
): Promise<{ readonly id: Uint8Array; readonly fileBytes: number; readonly dealtBytes: number }> {
  const { program, maskedWeight } = model;
  const { out, lengths, lifetime, certificates } = options;
  const created = Math.floor(Date.now() / 1000);
  const draw = (): Uint8Array => SYSTEM_ENTROPY.draw('seed0', new Uint8Array(0));
  const terms: DealTerms = {
    session: { ...model.session, lengths },
    certificates,
    created,
    expires: created + Math.floor(lifetime),
    nonce: draw(),
  };
  const encoded = encodeTerms(terms);
  const id = dealId(encoded);
  const seeds = [new Secret(draw()), new Secret(draw())] as const;
  const keys = [sessionKey(id, seeds[0]), sessionKey(id, seeds[1])] as const;
  const files: Growing[] = [];
  const write = async (holder: Holder, body: (file: Growing) => Promise<unknown>): Promise<Growing> => {
    const file = await Growing.create(join(out, holder, 'deals'), `${hex(id)}.deal`);
    files.push(file);
    const empty = encodePrefix(encoded, holder, 0);
    await file.append(empty);
    await body(file);
    await file.begin(encodePrefix(encoded, holder, file.bytes - empty.length));
    await file.finish();
    return file;
  };
  try {
    const both = concat(seeds[0].bytes, seeds[1].bytes);
    await write('assistant', (file) => file.append(...sealRecord(bodyKey(keeper, id), id, 0, both)));
    both.fill(0);
    const masks = [maskSource(keys[0]), maskSource(keys[1])] as const;
    const sealing = bodyKey(keys[1], id);
    let records = 0;
    let dealtBits = 0;
    const dims: Dims = { lengths, heads: program.heads };
    const { bytes } = await write('party1', async (file) => {
      ({ dealtBits } = await deal(program, dims, { masks, maskedWeight }, async (_, message) => {
        await file.append(...sealRecord(sealing, id, records++, message));
        giveBack(message);
      }));
    });
    await write('party0', async () => {});
    return { id, fileBytes: bytes, dealtBytes: Math.ceil(dealtBits / 8) };
  } catch (error) {
    // What has its name already is of no use alone: party 0 offers only what it has.
    await Promise.all(files.map((file) => file.abandon()));
    await Promise.all(HOLDERS.map((holder) => rm(join(out, holder, 'deals', `${hex(id)}.deal`), { force: true })));
    throw error;
  } finally {
    for (const secret of [...seeds, ...keys]) secret.erase();
  }
}

/** S_0 and S_1 of a burnt deal, from the assistant's record. */
export function splitSeeds(record: Uint8Array): readonly [Secret, Secret] {
  const seeds = [0, 1].map((i) => new Secret(record.slice(i * KEY_BYTES, (i + 1) * KEY_BYTES))) as [Secret, Secret];
  record.fill(0);
  return seeds;
}
