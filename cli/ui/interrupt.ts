/** Signals that end a long work at its next safe place. */
import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The work was stopped from outside in good order: one line says so, and no remedy is needed. */
export class Stopped extends Error {
  /** 128 and the signal's number, as a shell has it. */
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.name = new.target.name;
    this.exitCode = exitCode;
  }
}

export interface Interruption {
  /** Exit code of the first signal that came while held; undefined: none. */
  code(): number | undefined;
  /** From now on the first signal is only noted, and a second one ends the process at once. */
  hold(): void;
  /** A signal ends the process at once again. */
  release(): void;
  /** Signals do again what they did before. */
  end(): void;
}

/** From now on SIGINT and SIGTERM end the process at once, with `line` on standard error, but while they are held. */
export function interruptions(line: string): Interruption {
  let held = false;
  let first: number | undefined;
  const restore = SIGNALS.map((signal) => {
    const before = process.rawListeners(signal) as NodeJS.SignalsListener[];
    const note = (): void => {
      const code = 128 + constants.signals[signal];
      if (!held) process.stderr.write(`${line}\n`);
      if (!held || first !== undefined) process.exit(code);
      first = code;
    };
    process.removeAllListeners(signal);
    process.on(signal, note);
    return () => {
      process.removeListener(signal, note);
      for (const listener of before) process.on(signal, listener);
    };
  });
  return {
    code: () => first,
    hold: () => void (held = true),
    release: () => void (held = false),
    end: () => restore.forEach((undo) => undo()),
  };
}
