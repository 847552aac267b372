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

const clock = (seconds: number): string =>
  seconds >= 60
    ? `${Math.floor(seconds / 60)}m${String(Math.round(seconds % 60)).padStart(2, '0')}s`
    : `${seconds.toFixed(0)}s`;

const bar = (fraction: number, width = 20): string => {
  const full = Math.round(fraction * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
};

/** Starts the progress of one task, of which `before` units were done earlier; `quiet` shows nothing. */
export function progress(label: string, quiet = false, before = 0): Progress {
  if (quiet) return { update() {}, succeed() {}, fail() {}, stop() {} };
  const start = Date.now();
  const live = process.stderr.isTTY === true;
  const spinner = live ? ora({ text: label, stream: process.stderr }).start() : undefined;
  let last = 0;
  if (!live) process.stderr.write(`${label} …\n`);
  return {
    update(done, total, note = '') {
      const now = Date.now();
      const interval = live ? 100 : 10_000;
      if (now - last < interval && done < total) return;
      last = now;
      const elapsed = (now - start) / 1000;
      const left = done > before ? (elapsed / (done - before)) * (total - done) : Number.NaN;
      const eta = Number.isFinite(left) ? ` · ${clock(left)} left` : '';
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
