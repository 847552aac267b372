/** `--ahead` of `local` and `evaluate`: everything the texts need is dealt before the first is asked, as `deal` would. */
import { join } from 'node:path';
import { readBundle } from '../../export/bundle.ts';
import type { ClientProgram } from '../../export/bundle/format.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import { assistantModel } from '../../runtime/role/assistant.ts';
import { checkRoom, dealAhead, dealSize, keeperKey } from '../../runtime/role/deal-ahead.ts';
import { servingCertificates, type Deployment } from '../../runtime/transport/deployment.ts';
import { progress } from '../ui/progress.ts';
import type { Question } from '../../runtime/client/ask.ts';
import { sessionsOf } from './asker.ts';

/** Seconds: longer than any run. */
const LIFETIME = 30 * 86_400;

/** Deals for the sessions of `texts` into `dir`, and returns the folder with each role's stock. */
export async function dealForTexts(
  bundles: string,
  client: ClientProgram,
  texts: readonly Question[],
  batch: number,
  deployment: Deployment,
  dir: string,
): Promise<string> {
  const bundle = await readBundle(join(bundles, 'assistant'), 'assistant');
  const buckets = client.padding?.buckets;
  const sessions = sessionsOf(texts, batch, buckets).map((session) =>
    session.map(({ ids }) => bucketOf(ids.length, buckets)),
  );
  const model = assistantModel(bundle);
  const sizes = sessions.map((lengths) => dealSize(model, lengths));
  const out = join(dir, 'stock');
  await checkRoom(out, sizes.reduce((sum, { fileBytes }) => sum + fileBytes + 8192, 0)); // prettier-ignore
  const dealt = sizes.reduce((sum, { dealtBytes }) => sum + dealtBytes, 0);
  const bar = progress(`Dealing ${(dealt / 1e6).toFixed(1)} MB for ${sessions.length} sessions`);
  const keeper = keeperKey(model.session.modelId, bundle.seeds);
  const certificates = servingCertificates(deployment);
  for (const [done, lengths] of sessions.entries()) {
    await dealAhead(model, keeper, { certificates, out, lengths, lifetime: LIFETIME });
    bar.update(done + 1, sessions.length);
  }
  keeper.erase();
  bar.succeed(`${sessions.length} sessions dealt ahead`);
  return out;
}
