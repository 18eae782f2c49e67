/** Directories for the time of a measurement: gone afterwards, also when the run is interrupted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const open = new Set<string>();

/** A new directory below `parent`. */
export function openRoom(parent: string, purpose: string): string {
  const room = mkdtempSync(join(parent, `vexcoord-bench-${purpose}-`));
  open.add(room);
  return room;
}

export function closeRoom(room: string): void {
  rmSync(room, { recursive: true, force: true, maxRetries: 5 });
  open.delete(room);
}

/** For the last moment of the process. */
export function closeRooms(): void {
  for (const room of open) closeRoom(room);
}
