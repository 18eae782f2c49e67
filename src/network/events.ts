import type { Hello } from './hello.js';
import type { Channel } from './port.js';
import type { RefusalCode } from './verdict.js';

interface OfLink {
  readonly slot: number;
  readonly peer: string;
  readonly channel: Channel;
  readonly remote: string;
}

interface OfInbound {
  readonly connection: number;
  readonly peer: string;
  readonly channel: Channel;
  readonly remote: string;
}

/** What a dialler says of how others can be dialled, as it came. */
type Introduction = Pick<Hello, 'listen' | 'tableVersion' | 'neighbours'>;

/** What changed in the network; rare by construction, so that it may travel as a message between threads. */
export type NetworkEvent =
  /** We may send to the peer. */
  | ({ readonly type: 'up'; readonly protocol: number; readonly incarnation: bigint } & OfLink)
  | ({ readonly type: 'down'; readonly reason: string } & OfLink)
  /** The first dial that failed since the link was last up (or since the start); dialling goes on. */
  | ({ readonly type: 'unreachable'; readonly reason: string } & OfLink)
  /** The peer may send to us. */
  | ({ readonly type: 'accepted'; readonly protocol: number; readonly incarnation: bigint } & Introduction & OfInbound)
  | ({ readonly type: 'closed'; readonly reason: string } & OfInbound)
  /**
   * A handshake that one side refused. `outbound`: our dial, reported when the refusal or its reason is new;
   * `inbound`: a dial to us, reported a bounded number of times a second. The counters count all.
   */
  | {
      readonly type: 'refused';
      readonly direction: 'inbound' | 'outbound';
      /** The node that dialled, or that was dialled; null where it never said. */
      readonly peer: string | null;
      readonly channel: Channel | null;
      readonly remote: string;
      readonly code: RefusalCode;
      readonly reason: string;
    };

export type Refused = Extract<NetworkEvent, { type: 'refused' }>;
