/** What is in a datagram of VXLAN (RFC 7348): its header, then an Ethernet frame. */

const HEADER_BYTES = 8;
const ETHERNET_BYTES = 14;
const DESTINATION_AT = HEADER_BYTES;
const SOURCE_AT = HEADER_BYTES + 6;
const MAC_BYTES = 6;
const TYPE_AT = HEADER_BYTES + 12;
const IP_AT = HEADER_BYTES + ETHERNET_BYTES;
const IPV4 = 0x0800;
const TCP = 6;
const TCP_CHECKSUM_AT = 16;

/** Hosts have addresses that end in their number, which `far.ts` gives them. */
export const macOf = (number: number): string => `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;

/** Numbers of the hosts that a datagram is from and for; null for what is not between two of them. */
export function endsOf(datagram: Buffer): { readonly from: number; readonly to: number } | null {
  // Whatever is sent to all (the kernel's own questions about neighbours) goes nowhere.
  if (datagram.length < IP_AT || datagram[DESTINATION_AT] !== 2 || datagram[SOURCE_AT] !== 2) return null;
  return { from: datagram[SOURCE_AT + MAC_BYTES - 1]!, to: datagram[DESTINATION_AT + MAC_BYTES - 1]! };
}

/**
 * Writes the checksum of a TCP segment over IPv4. On a wire between two namespaces the kernel leaves that to a network card
 * that is not there, and the other end would drop what has been outside the kernel.
 */
export function sum(datagram: Buffer): void {
  if (datagram.readUInt16BE(TYPE_AT) !== IPV4 || datagram[IP_AT + 9] !== TCP) return;
  const tcpAt = IP_AT + (datagram[IP_AT]! & 0x0f) * 4;
  const end = IP_AT + datagram.readUInt16BE(IP_AT + 2);
  if (end > datagram.length || end < tcpAt + TCP_CHECKSUM_AT + 2) return;
  datagram.writeUInt16BE(0, tcpAt + TCP_CHECKSUM_AT);
  let total = TCP + (end - tcpAt);
  for (let at = IP_AT + 12; at < IP_AT + 20; at += 2) total += datagram.readUInt16BE(at);
  let at = tcpAt;
  for (; at + 1 < end; at += 2) total += (datagram[at]! << 8) | datagram[at + 1]!;
  if (at < end) total += datagram[at]! << 8;
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  datagram.writeUInt16BE(~total & 0xffff, tcpAt + TCP_CHECKSUM_AT);
}
