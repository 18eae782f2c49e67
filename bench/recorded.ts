/** Events of a recorded trace: what files are called and hold is not as random as what a generator makes up. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { EventInput } from '../dist/index.js';

const TRACE = 'examples/traces/git-session.jsonl.gz';

/** With the trace's paths, and its own lines for payloads. */
export function recorded(payloadBytes: number): readonly EventInput[] {
  const text = gunzipSync(readFileSync(TRACE));
  const lines = text.toString('utf8').trim().split('\n');
  return lines.map((line, at) => {
    const { path } = JSON.parse(line) as { path: string };
    const start = (at * payloadBytes) % (text.length - payloadBytes);
    return { type: 'FilesystemWrite', path, payload: text.subarray(start, start + payloadBytes), sourceId: BigInt(at) };
  });
}
