import type { Where } from '../contracts/index.js';
import type { WireWhere } from './wire.js';

export const encodeWhere = (where: Where): WireWhere => ({ types: list(where.type).map(String), paths: list(where.path) });

/** Undefined where it says nothing. */
export function decodeWhere(wire: WireWhere | null | undefined): Where | undefined {
  const [types, paths] = [wire?.types ?? [], wire?.paths ?? []];
  if (types.length + paths.length === 0) return undefined;
  return { ...(types.length > 0 ? { type: types.map(nameOrCode) } : {}), ...(paths.length > 0 ? { path: paths } : {}) };
}

/** `FilesystemWrite`, `filesystem`, `259` or `0x0103`. */
function nameOrCode(text: string): string | number {
  return /^(0x[0-9a-f]+|[0-9]+)$/i.test(text) ? Number(text) : text;
}

function list<T>(value: T | readonly T[] | undefined): T[] {
  if (value === undefined) return [];
  return (Array.isArray(value) ? [...value] : [value]) as T[];
}
