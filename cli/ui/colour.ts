import pc from 'picocolors';

/**
 * Colours for a stream, only where it is a terminal (`NO_COLOR` and `FORCE_COLOR` are obeyed). Decided per stream: results
 * may go to a file while messages go to the screen. A CI variable is no terminal: other programs read what it captures.
 */
const coloursOf = (stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> =>
  pc.createColors(!process.env['NO_COLOR'] && (stream.isTTY || Boolean(process.env['FORCE_COLOR'])));

/** For standard error: progress, messages, errors. */
export const onError = coloursOf(process.stderr);
/** For standard output: results. */
export const onOutput = coloursOf(process.stdout);
