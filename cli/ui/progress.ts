import ora from 'ora';

/** Progress of one long task on standard error: a live line on a terminal, sparse plain lines elsewhere, nothing when quiet. */
export interface Progress {
  /** `done` of `total` units; `note` is free text (loss, rate). The estimate of the time left is added here. */
  update(done: number, total: number, note?: string): void;
  succeed(text: string): void;
  fail(text: string): void;
  /** Ends without a word. */
  stop(): void;
}

function clock(exact: number): string {
  const seconds = Math.round(exact);
  return seconds >= 60 ? `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s` : `${seconds}s`;
}

/** Milliseconds after the first unit within which others belong to it: answers of one batch come together. */
const TOGETHER = 1000;

const bar = (fraction: number, width = 20): string => {
  const full = Math.round(fraction * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
};

/**
 * Starts the progress of one task; `quiet` shows nothing. The time left is estimated from what follows the first units, which say
 * nothing of the rate: they have waited for the start, come in a batch, or stand for what an earlier process did.
 */
export function progress(label: string, quiet = false): Progress {
  if (quiet) return { update() {}, succeed() {}, fail() {}, stop() {} };
  const start = Date.now();
  const live = process.stderr.isTTY === true;
  const spinner = live ? ora({ text: label, stream: process.stderr }).start() : undefined;
  let last = 0;
  let first: { readonly at: number; readonly done: number } | undefined;
  if (!live) process.stderr.write(`${label} …\n`);
  return {
    update(done, total, note = '') {
      const now = Date.now();
      first ??= { at: now, done };
      const interval = live ? 100 : 10_000;
      if (now - last < interval && done < total) return;
      last = now;
      const [spent, made] = [now - first.at, done - first.done];
      const known = spent >= TOGETHER && made > 0 && done < total;
      const eta = known ? ` · ${clock(((spent / made) * (total - done)) / 1000)} left` : '';
      const text = `${label} ${bar(done / total)} ${done}/${total}${eta}${note ? ` · ${note}` : ''}`;
      if (spinner) spinner.text = text;
      else process.stderr.write(`  ${text}\n`);
    },
    succeed(text) {
      const line = `${text} (${clock((Date.now() - start) / 1000)})`;
      if (spinner) spinner.succeed(line);
      else process.stderr.write(`✔ ${line}\n`);
    },
    fail(text) {
      if (spinner) spinner.fail(text);
      else process.stderr.write(`✖ ${text}\n`);
    },
    stop() {
      spinner?.stop();
    },
  };
}
