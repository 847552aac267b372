/**
 * Failures of the world (a bad file, a wrong option, an absent peer), as opposed to bugs, which are plain Errors. A Failure
 * says what happened (naming file, field or peer) and how to mend it; the commands print exactly these two and exit.
 */
export class Failure extends Error {
  readonly hint: string;
  /** 2 bad input or file, 3 refused (a plan, a text, a peer's key), 4 a peer failed or is absent, 1 anything else. */
  readonly exitCode: number;

  constructor(message: string, hint: string, exitCode = 1) {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** A file, column, option or value that cannot be used. */
export class InputError extends Failure {
  constructor(message: string, hint: string) {
    super(message, hint, 2);
  }
}

/** Something well-formed that must not be done: a plan whose bounds do not fit, a text over the limit, a wrong key. */
export class RefusedError extends Failure {
  constructor(message: string, hint: string) {
    super(message, hint, 3);
  }
}

/** A peer is absent, left, timed out or broke the protocol. */
export class PeerError extends Failure {
  constructor(message: string, hint: string) {
    super(message, hint, 4);
  }
}
