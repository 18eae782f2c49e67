/** Longer than the longest event in base64 with everything it may carry. */
const LINE_BYTES_MAX = 4 * 1024 * 1024;

export interface Line {
  /** From 1. */
  readonly number: number;
  /** Null where the line is too long or no UTF-8. */
  readonly text: string | null;
  readonly problem: string | null;
}

/** Splits bytes into lines with bounded memory; a line that cannot be used is reported and the next one goes on. */
export async function* readLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let number = 0;
  const take = (): Line => {
    number += 1;
    const whole = bytes > LINE_BYTES_MAX ? null : Buffer.concat(parts);
    parts = [];
    bytes = 0;
    if (whole === null) return { number, text: null, problem: `it is longer than ${LINE_BYTES_MAX} bytes` };
    try {
      return { number, text: decoder.decode(whole).replace(/\r$/, ''), problem: null };
    } catch {
      return { number, text: null, problem: 'it is not UTF-8' };
    }
  };
  for await (const chunk of source) {
    let from = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, from)) {
      keep(chunk.subarray(from, at));
      yield take();
      from = at + 1;
    }
    keep(chunk.subarray(from));
  }
  if (bytes > 0) yield take();

  function keep(part: Uint8Array): void {
    if (part.byteLength === 0) return;
    bytes += part.byteLength;
    if (bytes <= LINE_BYTES_MAX) parts.push(part);
    else parts = [];
  }
}
