/** What a line of strace's output says (options `-f -ttt -y`). */
export type StraceLine =
  | { readonly kind: 'call'; readonly pid: number; readonly us: number; readonly name: string; readonly args: readonly string[]; readonly result: StraceResult }
  | { readonly kind: 'unfinished'; readonly pid: number; readonly us: number; readonly name: string; readonly text: string }
  | { readonly kind: 'resumed'; readonly pid: number; readonly us: number; readonly name: string; readonly text: string }
  | { readonly kind: 'exited'; readonly pid: number };

export interface StraceResult {
  /** What the call returned; null where it never did. */
  readonly value: number | null;
  /** Path of a returned descriptor. */
  readonly path: string | null;
}

const PREFIX = /^(?:\[pid +)?(\d+)\]? +(\d+)\.(\d{6}) (.*)$/s;
const UNFINISHED = /^(\w+)\((.*?),? <unfinished \.\.\.>$/s;
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/s;
const EXITED = /^\+\+\+ (?:exited|killed)/;
const RESULT = /^\s*= (-?\d+|0x[0-9a-f]+|\?)(?:<([^>]*)>)?/;

/** The text within quotes or angle brackets, with C escapes undone; null where the bytes are no UTF-8 or were cut short. */
export function unescapeText(text: string): string | null {
  if (!text.includes('\\')) return text;
  const SIMPLE: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, a: 7, b: 8, e: 27 };
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string;
    if (character !== '\\') bytes.push(...Buffer.from(character));
    else {
      const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0];
      if (octal !== undefined) {
        bytes.push(Number.parseInt(octal, 8));
        at += octal.length;
      } else {
        const next = text[at + 1] ?? '\\';
        bytes.push(SIMPLE[next] ?? next.charCodeAt(0));
        at += 1;
      }
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes));
  } catch {
    return null;
  }
}

/** Splits a call's arguments at commas outside quotes, descriptors' paths and brackets; null when the text ends before they do. */
function splitArguments(text: string): { args: string[]; end: number } | null {
  const args: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      for (at += 1; at < text.length && text[at] !== '"'; at++) if (text[at] === '\\') at += 1;
    } else if (character === '<' && /[\dD]/.test(text[at - 1] ?? '')) {
      at = text.indexOf('>', at);
      if (at < 0) return null;
    } else if (character === '(' || character === '[' || character === '{') depth += 1;
    else if (depth > 0 && (character === ')' || character === ']' || character === '}')) depth -= 1;
    else if (depth === 0 && (character === ',' || character === ')')) {
      args.push(text.slice(from, at).trim());
      from = at + 1;
      if (character === ')') return { args: args.length === 1 && args[0] === '' ? [] : args, end: at + 1 };
    }
  }
  return null;
}

/** A complete call from its text; also for one put together again from its two halves. */
export function parseCall(pid: number, us: number, text: string): StraceLine | null {
  const open = text.indexOf('(');
  if (open <= 0) return null;
  const split = splitArguments(text.slice(open + 1));
  if (split === null) return null;
  const result = RESULT.exec(text.slice(open + 1 + split.end));
  if (result === null) return null;
  const [, value = '?', path] = result;
  return {
    kind: 'call',
    pid,
    us,
    name: text.slice(0, open),
    args: split.args,
    result: { value: value === '?' ? null : Number(value), path: path === undefined ? null : unescapeText(path) },
  };
}

/** Reads a line; null for one that says nothing of files, such as a signal. */
export function parseStraceLine(line: string): StraceLine | null {
  const match = PREFIX.exec(line);
  if (match === null) return null;
  const pid = Number(match[1]);
  const us = Number(match[2]) * 1_000_000 + Number(match[3]);
  const text = match[4] ?? '';
  if (EXITED.test(text)) return { kind: 'exited', pid };
  const unfinished = UNFINISHED.exec(text);
  if (unfinished !== null) return { kind: 'unfinished', pid, us, name: unfinished[1] ?? '', text: text.replace(/ <unfinished \.\.\.>$/, '') };
  const resumed = RESUMED.exec(text);
  if (resumed !== null) return { kind: 'resumed', pid, us, name: resumed[1] ?? '', text: resumed[2] ?? '' };
  return parseCall(pid, us, text);
}
