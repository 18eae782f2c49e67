import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LogScan } from '../../contracts/logscan.js';
import { CoordinatorError } from '../../errors/index.js';

export interface ScanOptions {
  /** Ids of events to be sighted. */
  readonly wanted?: readonly string[];
  /** The members' window, for directories that do not say it. */
  readonly windowEvents?: number;
  /** Told of each directory, by its position, once its log has been passed over. */
  readonly onRead?: (position: number) => void;
}

/** Of the segments in a data directory. */
export async function segmentBytesOf(directory: string): Promise<number> {
  // What is wrong with it is for the scan to say.
  const names = await readdir(directory).catch(() => []);
  const sizes = names.filter((name) => name.endsWith('.seg')).map((name) => stat(join(directory, name)).then(({ size }) => size, () => 0));
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Opens the logs of stopped members, one after the other, runs `work` on them and closes them again. */
export async function withScans<T>(directories: readonly string[], work: (scans: readonly LogScan[]) => Promise<T>, options: ScanOptions = {}): Promise<T> {
  // Loaded here, so that commands which need no log do not load the addon.
  const { scanLog } = await import('../../native/index.js');
  const scans: LogScan[] = [];
  try {
    for (const [position, directory] of directories.entries()) {
      scans.push(await scanLog(directory, options));
      options.onRead?.(position);
    }
    return await work(scans);
  } catch (error) {
    throw CoordinatorError.from(error);
  } finally {
    for (const scan of scans) await scan.close();
  }
}
