import type { Suite } from '../context.js';
import { causal } from './causal.js';
import { codecs } from './codecs.js';
import { commitBatch } from './commit-batch.js';
import { commitOne } from './commit-one.js';
import { compression } from './compression.js';
import { crdt } from './crdt.js';
import { failover } from './failover.js';
import { floor } from './floor.js';
import { groups } from './groups.js';
import { isolation } from './isolation.js';
import { napi } from './napi.js';
import { open } from './open.js';
import { openLoop } from './open-loop.js';
import { snapshot } from './snapshot.js';
import { tls } from './tls.js';
import { transports } from './transports.js';
import { wan } from './wan.js';

/** In the order in which they run. */
export const SUITES: readonly Suite[] = [floor, napi, commitOne, commitBatch, openLoop, failover, isolation, open, snapshot, groups, causal, crdt, compression, codecs, transports, tls, wan];
