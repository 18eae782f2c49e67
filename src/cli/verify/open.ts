import type { LogScan } from '../../contracts/logscan.js';
import { CoordinatorError } from '../../errors/index.js';

/** Opens the logs of stopped members, one after the other, runs `work` on them and closes them again; `wanted` are ids of events to be sighted. */
export async function withScans<T>(directories: readonly string[], work: (scans: readonly LogScan[]) => Promise<T>, wanted: readonly string[] = []): Promise<T> {
  // Loaded here, so that commands which need no log do not load the addon.
  const { scanLog } = await import('../../native/index.js');
  const scans: LogScan[] = [];
  try {
    for (const directory of directories) scans.push(await scanLog(directory, { wanted }));
    return await work(scans);
  } catch (error) {
    throw CoordinatorError.from(error);
  } finally {
    for (const scan of scans) await scan.close();
  }
}
