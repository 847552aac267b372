// Every test file runs with the fastest ring kernels this machine offers, as the commands do; whoever reads storage that was
// given back gets nonsense.
import { loadKernels } from '../ring/kernels/node.ts';
import { poisonRecycled } from '../ring/region.ts';
import { poisonGivenBack } from '../runtime/buffers.ts';

poisonRecycled(true);
poisonGivenBack(true);
await loadKernels();
