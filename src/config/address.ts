/** Where somebody listens. As text: `HOST:PORT`, `unix:PATH` or `memory:NAME`. */
export type Address = HostPort | SocketPath | MemoryName;

/** Host name or IP address and a port; an IPv6 host is written in brackets. Port 0 in a listen address lets the system choose. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A socket of this machine, by the absolute path of its file. */
export interface SocketPath {
  readonly path: string;
}

/** A name within this process. */
export interface MemoryName {
  readonly memory: string;
}

/** What a system takes as the path of a socket. */
export const SOCKET_PATH_BYTES_MAX = 107;
/** A socket is made under another name beside its own, which has so many bytes. */
export const SOCKET_NAME_BYTES_MIN = 5;

/** To end a sentence. */
export const SOCKET_FORM = `unix:PATH, absolute and of at most ${SOCKET_PATH_BYTES_MAX} bytes`;

const HOST_NAME = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;
const IPV4_LIKE = /^[\d.]+$/;
const IPV4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/;
const IPV6 = /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?$/;
const SOCKET = 'unix:';
const MEMORY = /^memory:([A-Za-z0-9._-]{1,64})$/;

/** Null for what is no address. Names are not looked up, and files neither. */
export function parseAddress(text: string): Address | null {
  if (text.startsWith(SOCKET)) return parsePath(text.slice(SOCKET.length));
  const [, memory] = MEMORY.exec(text) ?? [];
  return memory === undefined ? parseHostPort(text) : { memory };
}

function parseHostPort(text: string): HostPort | null {
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

/** Lists of addresses have commas between them, and what is told to people has no control characters. */
function parsePath(path: string): SocketPath | null {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const nameBytes = Buffer.byteLength(name);
  const bytes = Buffer.byteLength(path) + Math.max(0, SOCKET_NAME_BYTES_MIN - nameBytes);
  const isPath = path.startsWith('/') && nameBytes > 0 && name !== '.' && name !== '..' && !/[\p{Cc},]/u.test(path);
  return isPath && bytes <= SOCKET_PATH_BYTES_MAX ? { path } : null;
}

/** What `peers` say of a node. An id may be the name of what every object has, as `constructor`. */
export function peerAddressOf(peers: Readonly<Record<string, string>>, id: string): string | undefined {
  return Object.hasOwn(peers, id) ? peers[id] : undefined;
}

export function formatAddress(address: Address): string {
  if ('path' in address) return `${SOCKET}${address.path}`;
  if ('memory' in address) return `memory:${address.memory}`;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** The same text for what is the same address; what is none stays as it is. */
export function canonicalAddress(text: string): string {
  const address = parseAddress(text);
  if (address === null) return text;
  return formatAddress('host' in address ? { ...address, host: address.host.toLowerCase() } : address);
}

/** Whether it says all that it takes to reach somebody. */
export function isDialable(address: Address | null): boolean {
  return address !== null && !('port' in address && address.port === 0);
}

/** Whether only this machine can reach it. */
export function isLocal(address: Address): boolean {
  return !('host' in address) || isLoopback(address.host);
}

/** Whether only this machine can reach the address: 127.0.0.0/8, ::1 and the name localhost. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || (IPV4.test(host) && host.startsWith('127.'));
}
