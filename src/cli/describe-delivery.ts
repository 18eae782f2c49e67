import type { Delivery } from '../contracts/index.js';

/** One line for people. */
export function describeDelivery({ index, offset, event }: Delivery): string {
  const path = event.path === null ? '' : `  ${event.path}`;
  const to = event.to === null ? '' : ` -> ${event.to}`;
  return `${index}.${offset}  ${event.type}${path}${to}  ${event.payload.byteLength} bytes  from ${event.origin}  ${event.id}`;
}
