/** A file of JSON objects, one a line, each on disk before `append` resolves; the file before it is kept when it is full. */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

const FILE_BYTES_MAX = 16 * 1024 * 1024;
const SECRET = 0o600;
/** Not through a link that somebody else may have put there. */
const FLAGS = constants.O_APPEND | constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;

export class AuditLog {
  readonly #path: string;
  readonly #fileBytesMax: number;
  #file: FileHandle;
  #bytes: number;
  /** The file ends with a part of a line. */
  #torn = false;
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
    const file = await opened(path);
    try {
      const { size } = await file.stat();
      const log = new AuditLog(path, file, size, fileBytesMax);
      // A crash may have left a part of a line, which is not to spoil the next.
      const last = size === 0 ? null : (await file.read(Buffer.alloc(1), 0, 1, size - 1)).buffer;
      log.#torn = last !== null && last.toString() !== '\n';
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
      this.#file = await opened(this.#path);
    } catch (error) {
      await rename(kept, this.#path).catch(() => {});
      throw error;
    }
    [this.#bytes, this.#torn] = [0, false];
    await full.close();
  }

  async #write(line: string): Promise<void> {
    const text = this.#torn ? `\n${line}` : line;
    try {
      await this.#file.appendFile(text);
      await this.#file.datasync();
      this.#bytes += Buffer.byteLength(text);
      this.#torn = false;
    } catch (error) {
      // What of it is there is no line.
      await this.#file.truncate(this.#bytes).catch(() => {
        this.#torn = true;
      });
      throw error;
    }
  }
}

/** Also for its owner alone where it was not, and there after a crash of the machine. */
async function opened(path: string): Promise<FileHandle> {
  const file = await open(path, FLAGS, SECRET);
  try {
    const found = await file.stat();
    if (found.isFile() && (found.mode & 0o777) !== SECRET) await file.chmod(SECRET);
    const directory = await open(dirname(path), 'r');
    await directory.sync().finally(() => directory.close());
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
