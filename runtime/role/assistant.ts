/** The assistant as a server: both parties come to it, it goes to nobody. */
import { RefusedError } from '../../common/errors.ts';
import type { AssistantBundle } from '../../export/bundle.ts';
import { factors, makeReady } from '../context.ts';
import { equalBytes, fromHex, hex } from '../encoding.ts';
import { masterCheck, SYSTEM_ENTROPY } from '../keys.ts';
import { parseAddress, servingCertificates } from '../transport/deployment.ts';
import { serveRoles } from '../transport/tls.ts';
import { Assistant, type AssistantModel } from './assistant-session.ts';
import { keeperKey } from './deal-ahead.ts';
import { Stock } from './stock.ts';
import { MAX_SESSIONS, sessionFields, Sessions, type RoleOptions, type Running } from './server.ts';

/** A session is a connection of each party, and a party may begin one while another still ends. */
const MAX_CONNECTIONS = 4 * MAX_SESSIONS;

/** What an assistant serves, from its bundle. */
export function assistantModel(bundle: AssistantBundle): AssistantModel {
  const session = sessionFields(bundle.manifest, bundle.program);
  const B = factors(bundle.program, (name) => ({ B: bundle.maskedWeight(name) }));
  return {
    program: bundle.program,
    session,
    checks: [masterCheck(session.modelId, bundle.seeds[0]), masterCheck(session.modelId, bundle.seeds[1])],
    maskedWeight: (name, n) => B(name, n).B,
  };
}

/**
 * Starts serving.
 * @throws InputError if the port cannot be had, RefusedError if the identity is not the one of the deployment file
 */
export async function startAssistant(
  bundle: AssistantBundle,
  options: RoleOptions & { readonly served?: () => void; /** Folder of deals made ahead. */ readonly stock?: string },
): Promise<Running> {
  const { deployment, identity, timeout, patience } = options;
  const own = deployment.assistant.fingerprint;
  if (!equalBytes(fromHex(own), identity.fingerprint)) {
    throw new RefusedError(
      `the key is not that of the assistant: its certificate is ${hex(identity.fingerprint)}, the deployment file has ${own}`,
      'give the key folder of the assistant',
    );
  }
  const entropy = options.entropy ?? SYSTEM_ENTROPY;
  const sessions = new Sessions('assistant', options, MAX_CONNECTIONS);
  const model = assistantModel(bundle);
  makeReady(model.program, model.maskedWeight);
  const certificates = servingCertificates(deployment);
  const stock = options.stock === undefined ? undefined : await Stock.open(options.stock, { holder: 'assistant', session: model.session, certificates, refused: (reason) => sessions.report(reason) }); // prettier-ignore
  const assistant = new Assistant(model, {
    certificates,
    patience,
    entropy,
    ...(stock && { ahead: { stock, keeper: keeperKey(model.session.modelId, bundle.seeds) } }),
  });
  const parties = new Map([
    [deployment.party0.fingerprint, 'party 0'],
    [deployment.party1.fingerprint, 'party 1'],
  ]);
  const address = parseAddress(deployment.assistant.peers);
  const listener = await serveRoles(
    { address, identity, allowed: parties, timeout, refused: (reason) => sessions.report(reason) },
    (name, channel) => {
      if (sessions.full) {
        channel.close();
        sessions.report(
          new RefusedError(`too many sessions at once: ${name} was turned away`, 'let it ask again later'),
        );
      } else sessions.start(name, () => assistant.serve(name === 'party 0' ? 0 : 1, channel).then(options.served));
    },
  );
  return sessions.running([listener]);
}
