// Every test file runs with the fastest ring kernels this machine offers, as the commands do.
import { loadKernels } from '../ring/kernels/node.ts';

await loadKernels();
