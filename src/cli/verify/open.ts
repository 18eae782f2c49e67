import type { LogScan } from '../../contracts/logscan.js';
import { CoordinatorError } from '../../errors/index.js';

export interface ScanOptions {
  /** Ids of events to be sighted. */
  readonly wanted?: readonly string[];
  /** The members' window, for directories that do not say it. */
  readonly windowEvents?: number;
}

/** Opens the logs of stopped members, one after the other, runs `work` on them and closes them again. */
export async function withScans<T>(directories: readonly string[], work: (scans: readonly LogScan[]) => Promise<T>, options: ScanOptions = {}): Promise<T> {
  // Loaded here, so that commands which need no log do not load the addon.
  const { scanLog } = await import('../../native/index.js');
  const scans: LogScan[] = [];
  try {
    for (const directory of directories) scans.push(await scanLog(directory, options));
    return await work(scans);
  } catch (error) {
    throw CoordinatorError.from(error);
  } finally {
    for (const scan of scans) await scan.close();
  }
}
