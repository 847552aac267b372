import { RefusedError } from '../common/errors.ts';

/** A program that must not run: a ring too small for its gate, a shape or kind that does not fit, integers that differ. */
export class PlanError extends RefusedError {}
