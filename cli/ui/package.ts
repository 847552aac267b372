import { join } from 'node:path';
import { packageRoot } from '../../common/package-root.ts';

/** A file that ships with the package. */
export const packageFile = (path: string): string => join(packageRoot(), path);
