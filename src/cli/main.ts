#!/usr/bin/env node
import { buildProgram } from './program.js';
import { runAndExit } from './run.js';

runAndExit(buildProgram());
