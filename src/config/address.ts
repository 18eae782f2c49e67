/** A `host:port` pair; an IPv6 host is written in brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const IPV4_LIKE = /^[\d.]+$/;
const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;
const IPV6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?$/;

/** Reads `host:port`; null when it is not one. Names are not looked up. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const [, ipv6, host, digits] = match;
  const port = Number(digits);
  if (port > 65_535) return null;
  if (ipv6 !== undefined) return IPV6.test(ipv6) ? { host: ipv6, port } : null;
  if (host === undefined) return null;
  const valid = IPV4_LIKE.test(host) ? IPV4.test(host) : HOST_NAME.test(host);
  return valid ? { host, port } : null;
}

/** What `peers` say of a node. An id may be the name of what every object has, as `constructor`. */
export function peerAddressOf(peers: Readonly<Record<string, string>>, id: string): string | undefined {
  return Object.hasOwn(peers, id) ? peers[id] : undefined;
}

export function formatAddress(address: Address): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether only this machine can reach the address: 127.0.0.0/8, ::1 and the name localhost. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || (IPV4.test(host) && host.startsWith('127.'));
}
