/** Feeds of the dropout sites of a graph, in native code where it was built; the same bits without it. */
import { dropoutLevel, dropoutStream } from '../common/random.ts';
import type { DropoutSite } from './bert.ts';
import { elements, float32, type Feeds, type TensorData } from './engine.ts';
import { loadNative, type Native } from './native.ts';

/** Makes masks for the sites of one graph; its arrays are used again at the next call. */
export class DropoutMasks {
  readonly #sites: readonly DropoutSite[];
  readonly #native: Native | undefined;
  readonly #arrays = new Map<string, Float32Array>();

  constructor(sites: readonly DropoutSite[], native = true) {
    this.#sites = sites;
    this.#native = native ? loadNative() : undefined;
  }

  /** Masks of one step, named by seed and step (`dropoutMask`); valid until the next call. Threads do not decide the bits. */
  feeds(size: { readonly batch: number; readonly length: number }, seed: number, step: number, threads: number): Feeds {
    const feeds: Record<string, TensorData> = {};
    const native: [Float32Array, Uint32Array, number][] = [];
    for (const { name, site, shape, rate } of this.#sites) {
      const lengths = shape.map((d) => (d === 'B' ? size.batch : d === 'L' ? size.length : (d as number)));
      const out = this.#array(name, elements(lengths));
      const stream = dropoutStream(seed, step, site);
      const { threshold, keep } = dropoutLevel(rate);
      if (this.#native === undefined || threshold === 0) stream.fillDropout(out, rate);
      else native.push([out, Uint32Array.of(...stream.name, threshold), keep]);
      feeds[name] = float32(lengths, out);
    }
    this.#native?.dropout(native, threads);
    return feeds;
  }

  #array(name: string, length: number): Float32Array {
    const known = this.#arrays.get(name);
    if (known !== undefined && known.length >= length) return known.subarray(0, length);
    const made = new Float32Array(length);
    this.#arrays.set(name, made);
    return made;
  }
}
