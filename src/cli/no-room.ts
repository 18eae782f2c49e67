/** Whether this is how a file system says that it is full, or that a quota is used up. */
export function isNoRoom(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}
