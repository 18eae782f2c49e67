/** A buffer that doubles when it is too small and is kept between uses; positions are the user's. */
export class GrowingBuffer {
  bytes: Buffer;
  view: DataView;

  constructor(initialBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(initialBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Makes room for `more` bytes from `at` on; what stands before `at` is kept. */
  ensure(at: number, more: number): void {
    if (at + more <= this.bytes.length) return;
    let size = this.bytes.length;
    while (size < at + more) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(grown, 0, 0, at);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
