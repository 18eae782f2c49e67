import { join } from 'node:path';
import type { Command } from 'commander';
import { type Logger, pino } from 'pino';
import { ApiServer, type ApiServerOptions } from '../../api/index.js';
import type { ResolvedConfig } from '../../config/index.js';
import type { Status } from '../../contracts/index.js';
import type { Coordinator } from '../../coordinator/index.js';
import { CoordinatorError, isErrorCode } from '../../errors/index.js';
import { outputOption } from '../arguments.js';
import { configurationOf, configurationOptions } from '../configuration.js';
import { type OutputFormat, writeJson, writeLine } from '../output.js';
import { watch } from '../serve/watch.js';
import { interruption } from '../signals.js';

/** In the data directory. */
const AUDIT_FILE = 'audit.jsonl';

interface ServeFlags {
  readonly config?: string;
  readonly endWithParent?: boolean;
  readonly output: OutputFormat;
}

export function registerServe(program: Command): void {
  const command = program
    .command('serve')
    .description('run a node in the foreground until SIGTERM or SIGINT; SIGHUP reads its certificates and tokens again')
    .option('--config <file>', 'configuration, JSON or YAML; the environment and flags go before it')
    .option('--end-with-parent', 'also end when the process that started this one is gone; it must have opened an IPC channel')
    .addHelpText(
      'after',
      '\nExample:\n  vexcoord serve --node-id a --data-dir ./a --listen 127.0.0.1:7400 --api 127.0.0.1:7401 \\\n    --peer b=127.0.0.1:7410 --peer c=127.0.0.1:7420\n  vexcoord serve --node-id d --data-dir ./d --listen 127.0.0.1:7430 --api 127.0.0.1:7431 --join --peer a=127.0.0.1:7400\n  vexcoord serve --node-id a --data-dir ./a --listen 10.0.0.1:7400 --peer b=10.0.0.2:7400 --peer c=10.0.0.3:7400 \\\n    --tls-ca ca.crt --tls-cert a.crt --tls-key a.key',
    )
    .action(serve);
  configurationOptions(outputOption(command));
}

async function serve(flags: ServeFlags): Promise<void> {
  const { config: file = null, endWithParent, output, ...names } = flags;
  const { config, warnings } = configurationOf(file, names);
  const logger = pino({ level: config.observability.logLevel, base: { node: config.nodeId } }, pino.destination({ dest: 2, sync: true }));
  for (const warning of warnings) logger.warn(warning);

  const stop = interruption();
  const orphaned = new AbortController();
  if (endWithParent) process.once('disconnect', () => orphaned.abort('the end of its parent'));
  const ending = AbortSignal.any([stop, orphaned.signal]);
  const { Coordinator } = await import('../../coordinator/index.js');
  const node = await Coordinator.start(config);
  for (const files of [node.certificates, node.tokens]) {
    const exposure = (await files?.exposure()) ?? null;
    if (exposure !== null) logger.warn(exposure);
  }
  const unwatch = watch(node, logger);
  const hangUp = (): void => void Promise.all([node.reloadCertificates(), node.reloadTokens()]).catch((error: Error) => logger.error(error.message));
  // Without files to read a hang-up ends the node, as ever.
  if (node.certificates !== null || node.tokens !== null) process.on('SIGHUP', hangUp);
  let failure: CoordinatorError | null = null;
  const ended = new Promise<void>((resolve) => {
    node.on('failed', (error: CoordinatorError) => {
      failure = error;
      resolve();
    });
    // What fails while the node replays its log may do so before anybody can listen.
    failure = failureOf(node.status());
    if (ending.aborted || failure !== null) resolve();
    else ending.addEventListener('abort', () => resolve(), { once: true });
  });
  let api: ApiServer | null = null;
  try {
    if (config.api !== false) api = await ApiServer.start(node, apiOptionsOf(config, node, logger));
    await announce(output, {
      nodeId: config.nodeId,
      clusterId: config.clusterId,
      listen: config.listen,
      api: api?.address ?? null,
      dataDir: config.dataDir,
      pid: process.pid,
    });
    await ended;
    logger.info(failure === null ? `stopping on ${ending.reason}` : 'the node has failed');
  } finally {
    unwatch();
    process.off('SIGHUP', hangUp);
    await api?.close();
    await node.close().catch((error) => {
      if (failure === null) throw error;
    });
  }
  if (failure !== null) throw failure;
}

function apiOptionsOf({ api, security, limits, dataDir }: ResolvedConfig, { certificates, tokens }: Coordinator, logger: Logger): ApiServerOptions {
  const { apiConnectionsMax: connectionsMax, apiCallerConnectionsMax: callerConnectionsMax } = limits;
  return { address: String(api), logger, certificates, tokens, insecure: security.insecure, limits: { connectionsMax, callerConnectionsMax }, auditFile: join(dataDir, AUDIT_FILE) };
}

function failureOf({ health }: Status): CoordinatorError | null {
  if (health.state !== 'failed') return null;
  const [, code = '', sentence = ''] = /^([A-Z_]+): (.*)$/s.exec(health.reasons[0] ?? '') ?? [];
  return isErrorCode(code) ? new CoordinatorError(code, sentence) : new CoordinatorError('NODE_FAILED', health.reasons.join('; '));
}

/** The readiness line: once it is out, the API answers. */
function announce(
  output: OutputFormat,
  ready: { nodeId: string; clusterId: string; listen: string; api: string | null; dataDir: string; pid: number },
): Promise<void> {
  if (output === 'json') return writeJson(ready);
  const api = ready.api === null ? 'has no API' : `serves the API on ${ready.api}`;
  return writeLine(`${ready.nodeId} is up: it listens for peers on ${ready.listen}, ${api} and keeps its log in ${ready.dataDir} (process ${ready.pid}).`);
}
