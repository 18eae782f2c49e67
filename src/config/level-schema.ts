/** What may stand in `protocols` and in `levels`. What the values have to do with each other is for `level-checks.ts`. */
import { z } from 'zod';
import { LEVELS, LIMITS, ON_QUORUM_LOSS } from '../contracts/index.js';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MS_MAX = 3_600_000;
const between = (min: number, max: number) => z.int().min(min).max(max);
const name = z.string().regex(NAME);

export const protocol = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('eventual'), gossipIntervalMs: between(1, MS_MAX).optional(), antiEntropyIntervalMs: between(1, 86_400_000).optional() }),
  z.strictObject({ kind: z.literal('causal'), causalityBufferEvents: between(1, 1_000_000).optional(), deliveryTimeoutMs: between(1, MS_MAX).optional() }),
  z.strictObject({ kind: z.literal('sequential'), ordering: z.enum(['session', 'total']).optional(), bufferEvents: between(1, 1_000_000).optional() }),
  z.strictObject({
    kind: z.literal('strong'),
    consensusTimeoutMs: between(1, MS_MAX).optional(),
    quorumSize: z.union([between(1, LIMITS.votersMax), z.literal('all')]).optional(),
  }),
]);

export const PROTOCOLS_ALLOWED =
  "an object of protocols by name, each {kind: 'eventual', gossipIntervalMs?, antiEntropyIntervalMs?}, {kind: 'causal', causalityBufferEvents?, deliveryTimeoutMs?}, {kind: 'sequential', ordering?: 'session' or 'total', bufferEvents?} or {kind: 'strong', consensusTimeoutMs?, quorumSize?: 1 to 7 or 'all'}, times in whole milliseconds";

const SERVED = LEVELS.filter((level) => level !== 'critical');
const served = z.enum(SERVED);
const some = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)]);

export const levelRule = z.strictObject({
  name,
  match: z.strictObject({ type: some(z.union([z.string(), between(0, 0xffff)])).optional(), path: some(z.string()).optional() }).optional(),
  level: z.union([served, z.literal('adaptive')]).optional(),
  protocol: name.optional(),
  weakest: served.optional(),
  strongest: served.optional(),
  maxStalenessMs: between(0, MS_MAX).optional(),
  onQuorumLoss: z.enum(ON_QUORUM_LOSS).optional(),
});

export const LEVELS_ALLOWED = `a list of rules {name, match?: {type?, path?}, level? or protocol?, weakest?, strongest?, maxStalenessMs?, onQuorumLoss?}; levels are ${SERVED.join(', ')}, and adaptive for level; onQuorumLoss is ${ON_QUORUM_LOSS.join(', ')}`;
