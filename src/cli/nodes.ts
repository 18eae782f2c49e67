import { ApiClient, isRetryable } from '../api/index.js';
import { CoordinatorError } from '../errors/index.js';
import { type ProofFlags, proofOf } from './tls.js';

/** Which nodes are asked, and how the command proves who asks. */
export interface ApiFlags extends ProofFlags {
  readonly api: readonly string[];
}

/** Runs `work` with clients of all the addresses and closes them afterwards. */
export async function withClients<T>(flags: ApiFlags, work: (clients: readonly ApiClient[]) => Promise<T>): Promise<T> {
  const proof = proofOf(flags);
  const clients = flags.api.map((address) => new ApiClient(address, proof));
  try {
    return await work(clients);
  } finally {
    for (const client of clients) client.close();
  }
}

/** The answer of the first node that has one; a node that is down or too slow passes the question on. */
export function firstAnswer<T>(flags: ApiFlags, ask: (client: ApiClient) => Promise<T>): Promise<T> {
  return withClients(flags, async (clients) => {
    let failure: CoordinatorError | null = null;
    for (const client of clients) {
      try {
        return await ask(client);
      } catch (thrown) {
        failure = describeFailure(CoordinatorError.from(thrown), client.address);
        if (!isRetryable(failure)) break;
      }
    }
    throw failure ?? new CoordinatorError('USAGE', 'no API address was given');
  });
}

/** Says which node could not be reached; other errors speak for themselves. */
export function describeFailure(error: CoordinatorError, address: string): CoordinatorError {
  if (error.code !== 'UNAVAILABLE') return error;
  const reason = error.message.replace(/ Resolution note:.*$/s, '');
  return new CoordinatorError(error.code, `the node at ${address} does not answer: ${reason}`, { committed: error.committed, cause: error });
}
