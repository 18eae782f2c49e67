import type { Target } from '../target.js';
import { answers, api } from './api.js';
import { cursors } from './cursors.js';
import { deliveries } from './deliveries.js';
import { config, lines, tokens } from './files.js';
import { hello } from './hello.js';

export const TARGETS: readonly Target[] = [answers, api, config, cursors, deliveries, hello, lines, tokens];
