import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseStraceLine } from '../../../dist/cli/trace/strace-line.js';
import { readTrace, StraceTranslator, traceEvents } from '../../../dist/cli/trace/index.js';
import { readReceipts } from '../../../dist/cli/verify/receipts.js';
import { formatAddress, loadConfig, parseAddress, parseToken, tokenText } from '../../../dist/config/index.js';
import { eventFromJson, parseWhere } from '../../../dist/events/index.js';
import { readTokens, revocationLine, tokenHash, tokenLine, TokenTable } from '../../../dist/network/index.js';
import { HEADER, newWriter } from '../../helpers/packing.js';
import { bytes as of, refusable, refusableLater, text } from '../check.js';
import type { Target } from '../target.js';

let folder: string | null = null;

/** A file with these bytes, which the next one takes the place of. */
function file(bytes: Uint8Array): string {
  if (folder === null) {
    folder = mkdtempSync(join(tmpdir(), 'vexcoord-fuzz-'));
    const made = folder;
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  }
  const path = join(folder, 'input');
  writeFileSync(path, bytes);
  return path;
}

const TOKEN = { name: 'build', role: 'publisher' as const, sha256: tokenHash('t'), createdMs: 1_700_000_000_000, expiresMs: null, revokedMs: null };

export const tokens: Target = {
  name: 'tokens',
  reads: 'the file of tokens, and tokens that callers show',
  bytesMax: 2_048,
  words: ['{"name":"build","revoked":"2026-01-01T00:00:00.000Z"}\n', '"role":"reader"', '"sha256":"', '"expires":', '\n', '{}', 'vexfs-token/', '/c/build/', '__proto__'],
  seeds: () => of(tokenLine(TOKEN), tokenLine({ ...TOKEN, expiresMs: 1_800_000_000_000 }) + revocationLine('build', 5), tokenLine(TOKEN).repeat(2), tokenText({ clusterId: 'c', name: 'build' }, 'A'.repeat(43))),
  async run(bytes) {
    const records = await refusableLater(() => readTokens(file(bytes)), ['CONFIG_INVALID']);
    if (records !== null) {
      // Written again, the same tokens are read.
      const lines = records.map((record) => tokenLine(record) + (record.revokedMs === null ? '' : revocationLine(record.name, record.revokedMs)));
      assert.deepEqual(await readTokens(file(Buffer.from(lines.join('')))), records);
      const table = new TokenTable(records);
      for (const record of records) assert.equal(table.current(record)?.sha256, record.sha256);
      assert.equal(table.find(text(bytes)), null);
    }
    const shown = text(bytes);
    const parsed = parseToken(shown);
    if (parsed !== null) assert.equal(tokenText(parsed, shown.slice(shown.lastIndexOf('/') + 1)), shown);
  },
};

export const config: Target = {
  name: 'config',
  reads: 'configuration files, variables and flags',
  bytesMax: 1_024,
  words: ['nodeId: a\n', 'clusterId: c\n', 'peers:\n  b: b:1\n', 'dataDir: /d\n', 'security:\n  insecure: true\n', '&a [', '*a', ': ', '- ', '? ', '!!binary ', '<<: ', '{', '"', 'raft:\n  ', 'limits: ', '__proto__: ', '1e999', '0x', '\t'],
  seeds: () => of('nodeId: a\nclusterId: c\npeers:\n  b: 127.0.0.1:7400\ndataDir: /tmp/d\n', '{"nodeId":"a","levels":[{"where":{"type":"filesystem"},"consistency":"causal"}]}', 'nodeId=a\nraft.electionTimeoutMs=200', 'api:\n  listen: "[::1]:7401"\n'),
  run(bytes) {
    const said = text(bytes);
    const loaded = refusable(() => loadConfig({ fileText: said, fileName: 'f' }), ['CONFIG_INVALID', 'ADDRESS_REFUSED']);
    if (loaded !== null) {
      // What is configured says itself again.
      const again = loadConfig({ fileText: JSON.stringify(loaded.config), fileName: 'f' });
      assert.deepEqual(again.config, loaded.config);
    }
    const pairs = said.split('\n').map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)] as const);
    refusable(() => loadConfig({ env: Object.fromEntries(pairs.map(([name, value]) => [`VEXCOORD_${name}`, value])) }), ['CONFIG_INVALID', 'ADDRESS_REFUSED']);
    refusable(() => loadConfig({ flags: Object.fromEntries(pairs) }), ['CONFIG_INVALID', 'ADDRESS_REFUSED']);
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    const address = parseAddress(said);
    if (address !== null) assert.deepEqual(parseAddress(formatAddress(address)), address);
  },
};

const OPERATION = '{"us":5,"pid":0,"op":"rename","path":"/a","to":"/b","bytes":3}';
const RECEIPT = '{"eventId":"e","group":0,"index":"5","offset":1,"term":"2","lane":"ordered"}';

export const lines: Target = {
  name: 'lines',
  reads: 'traces, receipts, events and filters, line by line, and what strace says',
  bytesMax: 2_048,
  words: ['\n', '{', '"us":', '"op":"setattr"', '"index":"', '"error":', '1700000000.123456 ', 'openat(AT_FDCWD, "/a", O_RDONLY) = 3</a>', ' <unfinished ...>', '<... read resumed>', '\\303', '"type":"FilesystemWrite"', '"payload":"AA=="', 'type=', 'path=', '"'],
  seeds: () => of(`${OPERATION}\n${OPERATION}\n`, `${RECEIPT}\n${RECEIPT}\n`, '12 1700000000.123456 rename("/a", "/b") = 0\n', '[pid  7] 1700000000.000001 read(3</a>,  <unfinished ...>\n[pid  7] 1700000000.000002 <... read resumed>"x", 5) = 1\n', '{"type":"FilesystemWrite","path":"/a","payload":"AAE=","sourceId":"7"}', 'type=filesystem,259 path="/a b/**"', '\x1f\x8b'),
  async run(bytes) {
    const path = file(bytes);
    const trace = await refusableLater(() => all(readTrace(path)), ['TRACE_INVALID']);
    for (const line of trace ?? []) if ('error' in line) assert.equal(line.error.code, 'LINE_INVALID');
    const bad: unknown[] = [];
    await refusableLater(() => all(traceEvents(path, { reads: true, onInvalidLine: (error) => bad.push(error.code) })), ['TRACE_INVALID']);
    assert.ok(bad.every((code) => code === 'LINE_INVALID'));
    await refusableLater(() => readReceipts(path), ['LINE_INVALID', 'USAGE']);
    const translator = new StraceTranslator('/', '/');
    for (const line of text(bytes).split('\n')) {
      const read = parseStraceLine(line);
      assert.ok(read === null || read.pid >= 0);
      for (const operation of translator.push(line)) assert.ok(operation.path.startsWith('/') && operation.us >= 0, JSON.stringify(operation));
      refusable(() => parseWhere(line), ['FILTER_INVALID']);
      ofEvent(line);
    }
  },
};

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of source) found.push(one);
  return found;
}

function ofEvent(line: string): void {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return;
  }
  const event = refusable(() => eventFromJson(json), ['INVALID_EVENT']);
  if (event !== null) refusable(() => newWriter().packEvents({ ...HEADER, events: [event] }));
}
