/** How often a role's folder of deals was used, as the roles tell each other: shows a folder that came back from a backup. */
import { concat, equalBytes, readU32, u32 } from '../encoding.ts';

/**
 * How often this folder was used, as the other roles are told. Within an epoch the count only grows; a folder that turns out to be an
 * older copy begins a new epoch, later than any that another role has seen of it.
 */
export interface Tally {
  readonly epoch: number;
  /** Of this process. */
  readonly boot: Uint8Array;
  /** Deals burnt when the process began, and now. */
  readonly start: number;
  readonly now: number;
}

/** What a role remembers of another's tally. */
export interface Remembered {
  readonly epoch: number;
  readonly boot: Uint8Array;
  readonly most: number;
}

/** Bytes that name a process. */
export const BOOT_BYTES = 16;
export const TALLY_BYTES = BOOT_BYTES + 12;
export const REMEMBERED_BYTES = BOOT_BYTES + 8;

export const encodeTally = (t: Tally): Uint8Array => concat(t.boot, u32(t.epoch, t.start, t.now));
export const decodeTally = (b: Uint8Array): Tally => ({
  boot: b.slice(0, BOOT_BYTES),
  epoch: readU32(b, BOOT_BYTES),
  start: readU32(b, BOOT_BYTES + 4),
  now: readU32(b, BOOT_BYTES + 8),
});

export const encodeRemembered = (r: Remembered): Uint8Array => concat(r.boot, u32(r.epoch, r.most));
export const decodeRemembered = (b: Uint8Array): Remembered => ({
  boot: b.slice(0, BOOT_BYTES),
  epoch: readU32(b, BOOT_BYTES),
  most: readU32(b, BOOT_BYTES + 4),
});

/** Whether a role with this tally is an older copy of the one remembered. */
export function isOlder(tally: Tally, { epoch, boot, most }: Remembered): boolean {
  if (tally.epoch !== epoch) return tally.epoch < epoch;
  return !equalBytes(tally.boot, boot) && tally.start < most;
}
