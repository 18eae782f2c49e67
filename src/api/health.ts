import type { Server } from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { HealthImplementation, protoPath } from 'grpc-health-check';
import type { CoordinatorNode } from '../contracts/node.js';
import { SERVICE_NAMES } from './schema.js';

const NAMES = ['', ...Object.values(SERVICE_NAMES)];

const REFRESH_MS = 500;

/** grpc.health.v1 for a node: SERVING while its group has a leader it follows and nothing has failed. */
export class Health {
  readonly #implementation = new HealthImplementation(Object.fromEntries(NAMES.map((name) => [name, 'NOT_SERVING' as const])));
  #serving = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(private readonly node: CoordinatorNode) {}

  static packageDefinition(): PackageDefinition {
    return loadSync(protoPath, { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true });
  }

  addTo(server: Server): void {
    this.#implementation.addToServer(server);
  }

  start(): void {
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), REFRESH_MS).unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#set(false);
  }

  #refresh(): void {
    try {
      const { health, lanes } = this.node.status();
      this.#set(health.state !== 'failed' && lanes.ordered === 'ready');
    } catch {
      this.#set(false);
    }
  }

  /** Watchers hear of changes only. */
  #set(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const service of NAMES) this.#implementation.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING');
  }
}
