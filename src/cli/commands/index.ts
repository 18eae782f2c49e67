import type { Command } from 'commander';
import { registerCausality } from './causality.js';
import { registerCert } from './cert.js';
import { registerCompletion } from './completion.js';
import { registerConfig } from './config.js';
import { registerLeader } from './leader.js';
import { registerLog } from './log.js';
import { registerMember } from './member.js';
import { registerOutcome } from './outcome.js';
import { registerPublish } from './publish.js';
import { registerRecord } from './record.js';
import { registerRecover } from './recover.js';
import { registerReplay } from './replay.js';
import { registerReplication } from './replication.js';
import { registerServe } from './serve.js';
import { registerSnapshot } from './snapshot.js';
import { registerStatus } from './status.js';
import { registerSubscribe } from './subscribe.js';
import { registerToken } from './token.js';

/** Every command, in the order of the help. */
export const COMMANDS: readonly ((program: Command) => void)[] = [
  registerServe,
  registerPublish,
  registerSubscribe,
  registerReplay,
  registerRecord,
  registerStatus,
  registerOutcome,
  registerCausality,
  registerMember,
  registerLeader,
  registerReplication,
  registerSnapshot,
  registerLog,
  registerRecover,
  registerCert,
  registerToken,
  registerConfig,
  registerCompletion,
];
