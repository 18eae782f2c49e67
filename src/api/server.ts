import { Server, ServerCredentials, type ServerOptions, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { CoordinatorNode } from '../contracts/node.js';
import { type Address, formatAddress, parseAddress, SOCKET_FORM } from '../config/index.js';
import { CoordinatorError } from '../errors/index.js';
import type { TokenRecord } from '../network/index.js';
import { relatedEventsHandler, relationHandler } from './handlers/causality.js';
import { changeMembersHandler, listMembersHandler, transferLeadershipHandler } from './handlers/members.js';
import { replicationHandler, setReplicationHandler } from './handlers/replication.js';
import { publishBatchHandler, publishHandler } from './handlers/publish.js';
import { publishStreamHandler } from './handlers/publish-stream.js';
import { outcomeHandler, readBarrierHandler, readHandler, statusHandler } from './handlers/queries.js';
import { saveSnapshotHandler } from './handlers/snapshot.js';
import { subscribeHandler } from './handlers/subscribe.js';
import { AuditLog } from './audit-log.js';
import { auditing } from './auditing.js';
import { Callers } from './caller.js';
import { type ConnectionLimits, Connections } from './connections.js';
import { Door } from './door.js';
import { Guard } from './guard.js';
import { Health } from './health.js';
import { API_CODECS, MESSAGE_BYTES_MAX, type MethodName, packageDefinition, serverDefinition } from './schema.js';
import type { ServedFiles } from './tls.js';
import { Told } from './told.js';

/** How long calls on their way may take to finish once the server closes. */
const DRAIN_MS = 3000;

/** As in the configuration. */
const DEFAULT_LIMITS: ConnectionLimits = { connectionsMax: 1024, callerConnectionsMax: 128 };

const OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_concurrent_streams': 1000,
  // A client that vanished without a word, or never was one, is found by pings that nobody answers.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
};

/** The node's own certificate and the list of revoked ones, as they are and as they become. */
export interface ServedCertificates {
  readonly current: ServedFiles & { readonly revoked: readonly string[] };
  onTaken(listener: (files: ServedFiles & { readonly revoked: readonly string[] }) => void): void;
}

/** The tokens that callers may show, as they are and as they become. */
export interface ServedTokens {
  readonly current: readonly TokenRecord[];
  onTaken(listener: (records: readonly TokenRecord[]) => void): void;
}

export interface ApiServerOptions {
  /** `HOST:PORT` or `unix:PATH`; port 0 lets the system choose. */
  readonly address: string;
  readonly logger?: { warn(message: string): void };
  /** For TLS, with certificates asked of clients; without them the port is plain. */
  readonly certificates?: ServedCertificates | null;
  /** Shown in the place of certificates. On a plain port without them everybody may do everything. */
  readonly tokens?: ServedTokens | null;
  /** Takes tokens in plain text from other machines too. */
  readonly insecure?: boolean;
  readonly limits?: Partial<ConnectionLimits>;
  /** File for the record of what operators do; without it nothing is recorded. */
  readonly auditFile?: string | null;
}

interface Parts {
  readonly server: Server;
  readonly health: Health;
  readonly shutdown: AbortController;
  readonly door: Door;
  readonly audit: AuditLog | null;
}

/** The gRPC service of one node, with the standard health and reflection services beside it. */
export class ApiServer {
  /** Where the server listens, as `HOST:PORT` or `unix:PATH`. */
  readonly address: string;
  /** Of a socket of this machine all of its address, with a port of 0. */
  readonly host: string;
  readonly port: number;
  readonly #server: Server;
  readonly #health: Health;
  readonly #shutdown: AbortController;
  readonly #door: Door;
  readonly #audit: AuditLog | null;
  #closed: Promise<void> | null = null;

  private constructor({ server, health, shutdown, door, audit }: Parts, address: Address) {
    this.#server = server;
    this.#health = health;
    this.#shutdown = shutdown;
    this.#door = door;
    this.#audit = audit;
    this.address = formatAddress(address);
    const { host, port } = 'host' in address ? address : { host: formatAddress(address), port: 0 };
    this.host = host;
    this.port = port;
  }

  /** Rejects with `PORT_IN_USE`, `AUDIT_FAILED`, or `CONFIG_INVALID` for an address that is none of this machine's. */
  static async start(node: CoordinatorNode, options: ApiServerOptions): Promise<ApiServer> {
    const address = parseAddress(options.address);
    if (address === null || 'memory' in address) throw new CoordinatorError('CONFIG_INVALID', `an address of the API is HOST:PORT or ${SOCKET_FORM}, not ${JSON.stringify(options.address)}`);
    const shutdown = new AbortController();
    const connections = new Connections({ ...DEFAULT_LIMITS, ...options.limits });
    const handlers: Record<MethodName, unknown> = {
      Publish: publishHandler(node),
      PublishBatch: publishBatchHandler(node),
      PublishStream: publishStreamHandler(node, shutdown.signal),
      Subscribe: subscribeHandler(node, shutdown.signal),
      Read: readHandler(node),
      ReadBarrier: readBarrierHandler(node),
      Outcome: outcomeHandler(node),
      Status: statusHandler(node, connections.counts),
      Relation: relationHandler(node),
      RelatedEvents: relatedEventsHandler(node, shutdown.signal),
      ListMembers: listMembersHandler(node),
      ChangeMembers: changeMembersHandler(node),
      TransferLeadership: transferLeadershipHandler(node),
      Replication: replicationHandler(node),
      SetReplication: setReplicationHandler(node),
      SaveSnapshot: saveSnapshotHandler(node),
    };
    const { certificates = null, tokens = null, insecure = false, logger, auditFile = null } = options;
    const warn = (message: string): void => logger?.warn(message);
    const audit = auditFile === null ? null : await openAudit(auditFile);
    const told = new Told(warn);
    const callers = new Callers({ clusterId: node.clusterId, connections, revoked: certificates?.current.revoked ?? [], tokens: tokens?.current ?? null, insecure, nowMs: () => Date.now() });
    const guard = new Guard({ callers, connections, told });
    // Who may not call is told so before anything is recorded: otherwise everybody could fill the record.
    const interceptors = [guard.interceptor, ...(audit === null ? [] : [auditing({ nodeId: node.nodeId, log: audit, callers, nowMs: () => Date.now(), warn })])];
    const server = new Server({ ...OPTIONS, interceptors });
    for (const codec of API_CODECS) server.addService(serverDefinition(codec), handlers as UntypedServiceImplementation);
    const health = new Health(node);
    health.addTo(server);
    new ReflectionService({ ...packageDefinition(), ...Health.packageDefinition() }).addToServer(server);
    try {
      // What has come through the door needs no more proof of the library's own.
      const within = server.createConnectionInjector(ServerCredentials.createInsecure());
      const door = new Door({ files: certificates?.current ?? null, takesTokens: tokens !== null }, { connections, told, enter: (stream) => within.injectConnection(stream) });
      certificates?.onTaken((files) => {
        door.renew(files);
        callers.revoke(files.revoked);
        guard.recheck();
      });
      tokens?.onTaken((records) => {
        callers.renew(records);
        guard.recheck();
      });
      const bound = await door.listen(address);
      health.start();
      return new ApiServer({ server, health, shutdown, door, audit }, bound);
    } catch (error) {
      server.forceShutdown();
      await audit?.close();
      throw bindError(error, options.address);
    }
  }

  /** Takes no new calls, ends subscriptions with `CLOSED`, lets other calls finish for three seconds, then cuts them. */
  close(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  async #drain(): Promise<void> {
    this.#health.stop();
    this.#shutdown.abort();
    const drained = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const timer = setTimeout(() => this.#server.forceShutdown(), DRAIN_MS);
    await Promise.all([drained, this.#door.close()]);
    clearTimeout(timer);
    await this.#audit?.close();
  }
}

async function openAudit(path: string): Promise<AuditLog> {
  try {
    return await AuditLog.open(path);
  } catch (error) {
    throw new CoordinatorError('AUDIT_FAILED', `the record of what operators do cannot be opened: ${(error as Error).message}`, { cause: error });
  }
}

function bindError(thrown: unknown, address: string): CoordinatorError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return message.includes('EADDRINUSE')
    ? new CoordinatorError('PORT_IN_USE', `the API address ${address} is in use by another process`, { cause: thrown })
    : new CoordinatorError('CONFIG_INVALID', `the API cannot listen on ${address}: ${message}`, { cause: thrown });
}
