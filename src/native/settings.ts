/**
 * What decides the state that a log comes to, besides the log, as the directory's own file says: who reads the files without the node must not
 * guess it. Written once, by whoever makes the directory: a restore, or the first start of a node in it.
 */
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { LIMITS } from '../contracts/index.js';
import { CoordinatorError } from '../errors/index.js';

export const SETTINGS_NAME = 'SETTINGS.json';
/** What members have unless configured otherwise, and what a directory of before this file was read with. */
export const USUAL_WINDOW_EVENTS = 1_000_000;

const WINDOW = 'dedup.windowEvents';
const RESTORED = 'restored.groups';
/** What the configuration allows: nothing else was ever written here. */
const [WINDOW_MIN, WINDOW_MAX] = [1_000, 100_000_000];

export interface DirectorySettings {
  readonly windowEvents: number;
  /** Of how many groups snapshots were given, where the directory was made from such. */
  readonly restoredGroups: number | null;
}

/**
 * The window to read a directory with: the given one, else the directory's own, else the usual one.
 * Rejects with `CONFIG_INVALID` where the first two differ, and with `DATA_DIR_UNREADABLE` where the file is none.
 */
export async function windowOf(dataDir: string, given?: number): Promise<number> {
  const kept = await read(dataDir);
  if (kept !== null && given !== undefined && given !== kept.windowEvents) {
    throw new CoordinatorError('CONFIG_INVALID', `${WINDOW} is ${given}, but ${join(dataDir, SETTINGS_NAME)} says ${kept.windowEvents}: the log means something else with another; allowed: ${kept.windowEvents}.`);
  }
  return given ?? kept?.windowEvents ?? USUAL_WINDOW_EVENTS;
}

/** As a restore has written it; null in every other directory. Rejects with `DATA_DIR_UNREADABLE` where the file is none. */
export async function restoredGroupsOf(dataDir: string): Promise<number | null> {
  return (await read(dataDir))?.restoredGroups ?? null;
}

/** Writes the file if there is none; on disk when it resolves. The caller has the directory's lock. Rejects as `windowOf`, and with `DISK_FULL`. */
export async function keepSettings(dataDir: string, { windowEvents, restoredGroups }: DirectorySettings): Promise<void> {
  await windowOf(dataDir, windowEvents);
  if ((await read(dataDir)) !== null) return;
  const path = join(dataDir, SETTINGS_NAME);
  const unfinished = `${path}.new`;
  try {
    const restored = restoredGroups === null ? {} : { [RESTORED]: restoredGroups };
    await write(unfinished, `${JSON.stringify({ [WINDOW]: windowEvents, ...restored })}\n`);
    await rename(unfinished, path);
    await sync(dataDir);
  } catch (cause) {
    await unlink(unfinished).catch(() => {});
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new CoordinatorError(code === 'ENOSPC' || code === 'EDQUOT' ? 'DISK_FULL' : 'DATA_DIR_UNREADABLE', `${path} cannot be written: ${message}`, { cause });
  }
}

async function read(dataDir: string): Promise<DirectorySettings | null> {
  const path = join(dataDir, SETTINGS_NAME);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    // What else is wrong with the directory is for whoever opens it to say.
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new CoordinatorError('DATA_DIR_UNREADABLE', `${path} cannot be read: ${message}`, { cause });
  }
  const settings = settingsIn(text);
  if (settings === null) throw new CoordinatorError('DATA_DIR_UNREADABLE', `${path} does not say ${WINDOW}, a number from ${WINDOW_MIN} to ${WINDOW_MAX}; what it should say is what the other members have`);
  return settings;
}

function settingsIn(text: string): DirectorySettings | null {
  try {
    const { [WINDOW]: windowEvents, [RESTORED]: restored } = JSON.parse(text) as Record<string, unknown>;
    if (!isWithin(windowEvents, WINDOW_MIN, WINDOW_MAX)) return null;
    return { windowEvents, restoredGroups: isWithin(restored, 1, LIMITS.groupsMax) ? restored : null };
  } catch {
    return null;
  }
}

const isWithin = (value: unknown, min: number, max: number): value is number => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max;

async function write(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sync(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
