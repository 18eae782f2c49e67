import { ApiClient, isRetryable } from '../api/index.js';
import { CoordinatorError } from '../errors/index.js';

/** Runs `work` with clients of all the addresses and closes them afterwards. */
export async function withClients<T>(addresses: readonly string[], work: (clients: readonly ApiClient[]) => Promise<T>): Promise<T> {
  const clients = addresses.map((address) => new ApiClient(address));
  try {
    return await work(clients);
  } finally {
    for (const client of clients) client.close();
  }
}

/** The answer of the first node that has one; a node that is down or too slow passes the question on. */
export function firstAnswer<T>(addresses: readonly string[], ask: (client: ApiClient) => Promise<T>): Promise<T> {
  return withClients(addresses, async (clients) => {
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
