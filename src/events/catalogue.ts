import { CoordinatorError, nearest } from '../errors/index.js';

/** Categories by name; an event's category is its code & 0xFF00. */
export const CATEGORIES = {
  filesystem: 0x0100,
  graph: 0x0200,
  vector: 0x0300,
  agent: 0x0400,
  system: 0x0500,
  semantic: 0x0600,
  observability: 0x0800,
  /** The coordinator's own. */
  coordinator: 0x0f00,
} as const;
export type Category = keyof typeof CATEGORIES;

/** Codes from here on are free for applications. */
export const APPLICATION_CODE_MIN = 0x1000;
const CODE_MAX = 0xffff;

/** Names of each category in the order of their codes, from base + 1. */
const NAMES: Readonly<Record<Category, readonly string[]>> = {
  filesystem: ['Create', 'Delete', 'Read', 'Write', 'Rename', 'Chmod', 'Chown', 'Truncate', 'Mkdir', 'Rmdir', 'Symlink', 'Hardlink'],
  graph: ['NodeCreate', 'NodeDelete', 'NodeUpdate', 'EdgeCreate', 'EdgeDelete', 'EdgeUpdate', 'PropertySet', 'PropertyDelete', 'Traverse', 'Query'],
  vector: ['Create', 'Delete', 'Update', 'Search', 'Index', 'Similarity', 'Cluster', 'Embed'],
  agent: ['Query', 'Reasoning', 'Decision', 'Orchestration', 'Learning', 'Interaction'],
  system: ['Mount', 'Unmount', 'Sync', 'Checkpoint', 'Recovery', 'Optimization'],
  semantic: ['TransactionBegin', 'TransactionEnd', 'CausalityLink', 'IntentCapture', 'ContextSwitch', 'Link'],
  observability: [
    'MetricCollected',
    'LogGenerated',
    'TraceSpanStart',
    'TraceSpanEnd',
    'AlertTriggered',
    'HealthCheck',
    'PerformanceCounter',
    'ErrorReported',
    'AuditEvent',
    'SystemStatus',
    'ResourceUsage',
    'Threshold',
  ],
  coordinator: ['CrdtDelta', 'Place', 'Degraded', 'Placed'],
};

/** What carries the change of a CRDT of `node.crdt`: the delta as its payload, which object in its metadata (docs/formats.md, "CRDT deltas"). */
export const CRDT_DELTA = 0x0f01;
/** On the ordered lane: the place of an event that was published there without a quorum, and is in the causal lane, under that event's id (docs/formats.md, "Places"). */
export const PLACE = 0x0f02;
/** On the causal lane, in one submission with events that were lowered to it: where their places will be. */
export const DEGRADED = 0x0f03;
/** On the causal lane: up to where a node's lowered events have their places. */
export const PLACED = 0x0f04;

/** VexFS's own event types, name to code, exactly as the filesystem numbers them; and the coordinator's. */
export const EVENT_TYPES: ReadonlyMap<string, number> = new Map(
  Object.entries(CATEGORIES).flatMap(([category, base]) => {
    const prefix = category.charAt(0).toUpperCase() + category.slice(1);
    return NAMES[category as Category].map((name, place): [string, number] => [prefix + name, base + place + 1]);
  }),
);

/** Bits of an event's `flags`. */
export const EVENT_FLAGS = {
  atomic: 0x01,
  transactional: 0x02,
  causal: 0x04,
  agentVisible: 0x08,
  deterministic: 0x10,
  compressed: 0x20,
  indexed: 0x40,
  replicated: 0x80,
} as const;

/** Values of an event's `priority`; the lower number is served first. */
export const EVENT_PRIORITIES = { critical: 1, high: 2, normal: 3, low: 4, background: 5 } as const;

const CODE_TEXT = /^(0[xX][0-9a-fA-F]{1,4}|\d{1,5})$/;

/** The event types one node knows: VexFS's own and those of its configuration. */
export class Catalogue {
  readonly #codes: Map<string, number>;
  readonly #names = new Map<number, string>();

  /** `applicationTypes` is the configuration's `eventTypes`. Throws `CONFIG_INVALID` when a name or code is taken. */
  constructor(applicationTypes: Readonly<Record<string, number>> = {}) {
    this.#codes = new Map(EVENT_TYPES);
    for (const [name, code] of Object.entries(applicationTypes)) {
      if (EVENT_TYPES.has(name) || Object.hasOwn(CATEGORIES, name)) {
        throw new CoordinatorError('CONFIG_INVALID', `eventTypes.${name} is a name of VexFS itself; allowed: any other name.`);
      }
      this.#codes.set(name, code);
    }
    for (const [name, code] of this.#codes) this.#names.set(code, name);
  }

  /** The code of a type's name or number, or -1 for one that neither the catalogue nor an application can mean. */
  codeOf(type: string | number): number {
    if (typeof type === 'number') return this.#isUsable(type) ? type : -1;
    const code = this.#codes.get(type);
    if (code !== undefined) return code;
    // A subscriber sees a nameless type as its code in decimal, and may publish it again so.
    return CODE_TEXT.test(type) && this.#isUsable(Number(type)) ? Number(type) : -1;
  }

  /** The type's name, or its code in decimal where there is none. */
  nameOf(code: number): string {
    return this.#names.get(code) ?? String(code);
  }

  /** The name a mistyped one may have meant, or null. */
  suggest(type: string): string | null {
    return nearest(type, [...this.#codes.keys(), ...Object.keys(CATEGORIES)]);
  }

  #isUsable(code: number): boolean {
    return this.#names.has(code) || (Number.isInteger(code) && code >= APPLICATION_CODE_MIN && code <= CODE_MAX);
  }
}

/** The `UNKNOWN_EVENT_TYPE` error for a type that `codeOf` does not know. */
export function unknownType(type: unknown, catalogue: Catalogue, prefix = '', details: Record<string, unknown> = {}): CoordinatorError {
  const close = typeof type === 'string' ? catalogue.suggest(type) : null;
  const shown = typeof type === 'number' ? `0x${Math.trunc(type).toString(16).padStart(4, '0')}` : JSON.stringify(type);
  const hint = close === null ? 'allowed: a name of the catalogue or of eventTypes, or a code from 0x1000 to 0xffff.' : `did you mean ${close}?`;
  return new CoordinatorError('UNKNOWN_EVENT_TYPE', `${prefix}${shown} is no event type; ${hint}`, { details: { ...details, field: 'type', type } });
}
