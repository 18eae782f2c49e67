/** What a caller publishes. Absent optional fields travel as absent, not as empty. */
export interface EventInput {
  /** UUID of any version; a version 7 one is made when absent. */
  readonly id?: string;
  /** A name from the catalogue or the configuration, or a code (0x1000 and above are the application's). */
  readonly type: string | number;
  /** Absolute path, at most 4,096 bytes of UTF-8, no NUL. */
  readonly path?: string;
  /** Second path of a rename or link, under the same rules. */
  readonly to?: string;
  readonly payload?: Uint8Array;
  /** Any JSON value; at most 64 KiB serialised. */
  readonly metadata?: JsonValue;
  /** 1 (critical) to 5 (background); 3 when absent. */
  readonly priority?: number;
  /** Bit set, 32 bits; 0 when absent. */
  readonly flags?: number;
  /** VexFS's own event id (u64). */
  readonly sourceId?: bigint;
  /** At most one section per kind, as VexFS writes it; any JSON object. */
  readonly context?: { readonly [key: string]: JsonValue };
}

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** An event as a subscriber sees it. */
export interface OrderedEvent {
  readonly id: string;
  /** The type's name, or its code in decimal where this node knows no name for it. */
  readonly type: string;
  readonly code: number;
  /** Node id of the member that took the publish. */
  readonly origin: string;
  /** Session the event was published through (UUID), or null for a caller without one. */
  readonly session: string | null;
  /** Position in the session, from 1; 0n without one. */
  readonly sequence: bigint;
  readonly path: string | null;
  readonly to: string | null;
  readonly payload: Uint8Array;
  readonly metadata: JsonValue | null;
  readonly priority: number;
  readonly flags: number;
  readonly sourceId: bigint | null;
  readonly context: JsonValue | null;
  /** Hybrid logical clock at the origin: milliseconds since 1970 in the upper 48 bits, a counter in the lower 16. */
  readonly hlc: bigint;
}
