/** A file of JSON objects, one a line, each on disk before `append` resolves; the file before it is kept when it is full. */
import { type FileHandle, open, rename } from 'node:fs/promises';

const FILE_BYTES_MAX = 16 * 1024 * 1024;
const SECRET = 0o600;

export class AuditLog {
  readonly #path: string;
  readonly #fileBytesMax: number;
  #file: FileHandle;
  #bytes: number;
  /** The lines before have come to their end. */
  #before: Promise<void> = Promise.resolve();

  private constructor(path: string, file: FileHandle, bytes: number, fileBytesMax: number) {
    this.#path = path;
    this.#file = file;
    this.#bytes = bytes;
    this.#fileBytesMax = fileBytesMax;
  }

  /** Goes on with the file at `path`, or makes it. Rejects with the system's error. */
  static async open(path: string, fileBytesMax = FILE_BYTES_MAX): Promise<AuditLog> {
    const file = await open(path, 'a+', SECRET);
    try {
      const { size } = await file.stat();
      const log = new AuditLog(path, file, size, fileBytesMax);
      // A crash may have left a part of a line, which is not to spoil the next.
      const last = size === 0 ? null : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer;
      if (last !== null && last.toString() !== '\n') await log.#write('\n');
      return log;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Rejects with the system's error where the line is not on disk. */
  append(entry: object): Promise<void> {
    const line = `${JSON.stringify(entry)}\n`;
    const written = this.#before.then(async () => {
      if (this.#bytes > 0 && this.#bytes + Buffer.byteLength(line) > this.#fileBytesMax) await this.#turn();
      await this.#write(line);
    });
    this.#before = written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    await this.#before;
    await this.#file.close();
  }

  async #turn(): Promise<void> {
    const [full, kept] = [this.#file, `${this.#path}.1`];
    await rename(this.#path, kept);
    try {
      this.#file = await open(this.#path, 'a+', SECRET);
    } catch (error) {
      await rename(kept, this.#path).catch(() => {});
      throw error;
    }
    this.#bytes = 0;
    await full.close();
  }

  async #write(text: string): Promise<void> {
    try {
      await this.#file.appendFile(text);
      await this.#file.datasync();
      this.#bytes += Buffer.byteLength(text);
    } catch (error) {
      // What of it is there is no line: the next begins a new one.
      await this.#file.truncate(this.#bytes).catch(() => {});
      throw error;
    }
  }
}
