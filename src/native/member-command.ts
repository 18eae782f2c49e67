/** Packs member commands (docs/formats.md, "Member commands"). */
const OPERATIONS = { add: 1, promote: 2, remove: 3, replace: 4 } as const;

/** `second`: the address of a new member, the id that takes a place, else empty. */
export function packMemberCommand(operation: keyof typeof OPERATIONS, id: string, second: string): Buffer {
  return Buffer.concat([Buffer.of(OPERATIONS[operation], 0), text(id), text(second)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return Buffer.concat([length, bytes]);
}
