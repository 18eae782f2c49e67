/** Where the batches and records of a segment file are (docs/formats.md, "Log files"): read independently of the product, so that damage can be put on any byte. */
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const BLOCK_BYTES = 4096;
const BATCH_MAGIC = 'VXB1';
const BATCH_HEADER_BYTES = 48;
const RECORD_HEADER_BYTES = 16;
const RECORD_ALIGNMENT = 8;
const KIND_RECORDS = 1;
const ENTRY_KINDS: ReadonlySet<number> = new Set([1, 4, 5]);

export interface LogRecord {
  readonly offset: number;
  readonly length: number;
  readonly kind: number;
  /** Index of the entry; null for what is not one. */
  readonly index: bigint | null;
}

export interface Batch {
  readonly offset: number;
  /** Where its last record ends: padding follows. */
  readonly end: number;
  readonly records: readonly LogRecord[];
}

export interface Segment {
  readonly name: string;
  readonly file: string;
  readonly bytes: Buffer;
  /** Batches of records; a footer is not among them. */
  readonly batches: readonly Batch[];
  readonly sealed: boolean;
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** The segments of a stopped member, oldest first. */
export function segmentsOf(dataDir: string): Segment[] {
  const names = readdirSync(dataDir).filter((name) => name.endsWith('.seg')).sort();
  return names.map((name) => readSegment(name, join(dataDir, name)));
}

function readSegment(name: string, file: string): Segment {
  const bytes = readFileSync(file);
  const batches: Batch[] = [];
  let sealed = false;
  for (let at = BLOCK_BYTES; at + BATCH_HEADER_BYTES <= bytes.length && bytes.toString('latin1', at, at + BATCH_MAGIC.length) === BATCH_MAGIC; ) {
    const end = at + BATCH_HEADER_BYTES + bytes.readUInt32LE(at + 24);
    if (bytes[at + 36] === KIND_RECORDS) batches.push({ offset: at, end, records: recordsOf(bytes, at + BATCH_HEADER_BYTES, bytes.readUInt32LE(at + 28)) });
    else sealed = true;
    at = roundUp(end, BLOCK_BYTES);
  }
  return { name, file, bytes, batches, sealed };
}

function recordsOf(bytes: Buffer, from: number, count: number): LogRecord[] {
  let at = from;
  return Array.from({ length: count }, () => {
    const offset = at;
    const length = bytes.readUInt32LE(offset);
    const kind = bytes[offset + 8] as number;
    at = offset + roundUp(length, RECORD_ALIGNMENT);
    return { offset, length, kind, index: ENTRY_KINDS.has(kind) ? bytes.readBigUInt64LE(offset + RECORD_HEADER_BYTES) : null };
  });
}

/** Cuts a file at `length`; padded, zeros take the place of what was cut off. */
export function cutFile(file: string, length: number, padded: boolean): void {
  const descriptor = openSync(file, 'r+');
  try {
    const { length: bytes } = readFileSync(file);
    ftruncateSync(descriptor, length);
    if (padded) ftruncateSync(descriptor, bytes);
  } finally {
    closeSync(descriptor);
  }
}

export function flipByte(file: string, at: number, bits: number): void {
  const descriptor = openSync(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    readSync(descriptor, byte, 0, 1, at);
    byte[0] = (byte[0] as number) ^ bits;
    writeSync(descriptor, byte, 0, 1, at);
  } finally {
    closeSync(descriptor);
  }
}
