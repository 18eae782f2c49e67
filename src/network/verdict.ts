/** Decides over a handshake, for both sides. Pure: what is known of live connections is handed in. */
import type { Answer, Hello } from './hello.js';
import { describeHolder } from '../config/index.js';
import type { Identity, ProtocolRange } from './options.js';
import type { Proof } from './transport.js';

export const REFUSALS = [
  'CLUSTER_MISMATCH',
  'NODE_MISMATCH',
  'UNKNOWN_PEER',
  'MEMBER_REMOVED',
  'DUPLICATE_NODE_ID',
  'VERSION_UNSUPPORTED',
  'SETTINGS_MISMATCH',
  'PROTOCOL_ERROR',
  'CERTIFICATE_REFUSED',
  'CERTIFICATE_MISMATCH',
  'PEER_NOT_ALLOWED',
] as const;
export type RefusalCode = (typeof REFUSALS)[number];

export const isOfCertificate = (code: RefusalCode): boolean => code === 'CERTIFICATE_REFUSED' || code === 'CERTIFICATE_MISMATCH';

/**
 * What the acceptor's cluster has agreed on about a dialler. A `guest` is one that the acceptor does not know, and that may know better:
 * it is of a newer table of members, or the acceptor has none. Who is `not allowed` may be a member: the acceptor's own settings leave it out.
 */
export type Standing = 'member' | 'guest' | 'removed' | 'unknown' | 'not allowed';

export interface Refusal {
  readonly code: RefusalCode;
  /** One sentence for the logs of both sides. */
  readonly reason: string;
}

/** The process behind a live connection. */
export interface LivePeer {
  readonly incarnation: bigint;
  readonly directory: Uint8Array;
  readonly life: bigint;
  /** Where the connection leads or comes from, for messages. */
  readonly place: string;
}

type Process = Omit<LivePeer, 'place'>;
/** `older`: a process that the dialler of a Hello would replace if it were dead. */
type Refused = { readonly accepted: false; readonly older?: LivePeer } & Refusal;
export type Verdict = { readonly accepted: true; readonly protocol: number } | Refused;

/** Whether the other end may be one of the cluster's nodes, whichever; before a word of its own is read. */
export function judgeProof(proof: Proof | null, own: Identity): Refused | null {
  if (proof === null) return null;
  const { holder, fault } = proof;
  if (fault !== null) return refuse('CERTIFICATE_REFUSED', fault);
  if (holder === null) return refuse('CERTIFICATE_MISMATCH', `the certificate does not say whose it is; nodes of cluster ${quote(own.clusterId)} are asked for`);
  if (holder.role === 'node' && holder.clusterId === own.clusterId) return null;
  return refuse('CERTIFICATE_MISMATCH', `the certificate is that of ${describeHolder(holder)}; nodes of cluster ${quote(own.clusterId)} are asked for`);
}

/** Nobody speaks as another node, whatever the authority has issued to him. */
export function judgeName(proof: Proof | null, own: Identity, nodeId: string): Refused | null {
  const refused = judgeProof(proof, own);
  if (refused !== null || proof === null || proof.holder?.name === nodeId) return refused;
  return refuse('CERTIFICATE_MISMATCH', `who calls itself node ${quote(nodeId)} has the certificate of node ${quote(proof.holder?.name ?? '')}`);
}

/**
 * The acceptor's decision. `place` is where the Hello comes from, `live` are the connections, in either direction, to the
 * node id that it claims.
 */
export function judgeHello(
  hello: Hello,
  place: string,
  own: Identity,
  range: ProtocolRange,
  standing: (hello: Hello) => Standing,
  live: Iterable<LivePeer>,
  proof: Proof | null = null,
): Verdict {
  const dialler = quote(hello.nodeId);
  const misnamed = judgeName(proof, own, hello.nodeId);
  if (misnamed !== null) return misnamed;
  if (hello.clusterId !== own.clusterId) {
    return refuse('CLUSTER_MISMATCH', clusterSentence(own.nodeId, own.clusterId, hello.nodeId, hello.clusterId));
  }
  const protocol = Math.min(range.max, hello.protocolMax);
  if (protocol < range.min || protocol < hello.protocolMin) {
    return refuse(
      'VERSION_UNSUPPORTED',
      `node ${quote(own.nodeId)} speaks protocol ${span(range.min, range.max)}, node ${dialler} ${span(hello.protocolMin, hello.protocolMax)}`,
    );
  }
  if (hello.nodeId === own.nodeId) {
    const self = sameBytes(hello.directory, own.directory) && !isCopy({ ...own, life: own.life ?? 0n }, hello);
    return self
      ? refuse('NODE_MISMATCH', `the address given for node ${quote(hello.expectedNodeId)} leads back to the dialling node ${dialler} itself`)
      : refuse('DUPLICATE_NODE_ID', `node id ${dialler} is the answering node's own; every member needs one of its own`);
  }
  if (hello.expectedNodeId !== own.nodeId) {
    return refuse('NODE_MISMATCH', `node ${dialler} expected node ${quote(hello.expectedNodeId)} at this address; it is node ${quote(own.nodeId)}`);
  }
  const stands = standing(hello);
  if (stands === 'removed') {
    return refuse('MEMBER_REMOVED', `node ${dialler} was removed from the cluster; its id is never used again`);
  }
  if (stands === 'not allowed') {
    return refuse('PEER_NOT_ALLOWED', `node ${dialler} is not among those that security.allowedPeers of node ${quote(own.nodeId)} names`);
  }
  if (stands === 'unknown') {
    return refuse('UNKNOWN_PEER', `node ${dialler} is not among the peers of node ${quote(own.nodeId)}`);
  }
  const settings = own.settings ?? '';
  if (settings !== '' && hello.settings !== '' && settings !== hello.settings) {
    return refuse('SETTINGS_MISMATCH', `node ${quote(own.nodeId)} has ${quote(settings)}, node ${dialler} ${quote(hello.settings)}; these must be equal on all members`);
  }
  for (const other of live) {
    if (!sameBytes(other.directory, hello.directory)) return refuse('DUPLICATE_NODE_ID', duplicateSentence(hello.nodeId, other, hello));
    if (isCopy(other, hello)) {
      const refusal = refuse('DUPLICATE_NODE_ID', copySentence(hello.nodeId, other, { ...hello, place }));
      return other.incarnation < hello.incarnation ? { ...refusal, older: other } : refusal;
    }
  }
  return { accepted: true, protocol };
}

/** The dialler's decision over an answer; it believes neither acceptances nor refusals without looking. */
export function judgeAnswer(
  answer: Answer,
  place: string,
  own: Identity,
  range: ProtocolRange,
  expectedNodeId: string,
  live: Iterable<LivePeer>,
  proof: Proof | null = null,
): Verdict {
  if (!answer.accepted) {
    const code = REFUSALS.find((known) => known === answer.code);
    return code === undefined
      ? refuse('PROTOCOL_ERROR', `refused with ${quote(answer.code)}: ${plain(answer.reason)}`)
      : refuse(code, plain(answer.reason));
  }
  if (answer.clusterId !== own.clusterId) {
    return refuse('CLUSTER_MISMATCH', clusterSentence(own.nodeId, own.clusterId, answer.nodeId, answer.clusterId));
  }
  if (answer.nodeId !== expectedNodeId) {
    return refuse('NODE_MISMATCH', `node ${quote(answer.nodeId)} answered where node ${quote(expectedNodeId)} was expected`);
  }
  const misnamed = judgeName(proof, own, answer.nodeId);
  if (misnamed !== null) return misnamed;
  if (answer.protocol < range.min || answer.protocol > range.max) {
    return refuse(
      'VERSION_UNSUPPORTED',
      `node ${quote(own.nodeId)} speaks protocol ${span(range.min, range.max)}, node ${quote(answer.nodeId)} chose ${answer.protocol}`,
    );
  }
  for (const other of live) {
    if (!sameBytes(other.directory, answer.directory)) {
      return refuse('DUPLICATE_NODE_ID', duplicateSentence(answer.nodeId, other, answer));
    }
    if (isCopy(other, answer)) return refuse('DUPLICATE_NODE_ID', copySentence(answer.nodeId, other, { ...answer, place }));
  }
  return { accepted: true, protocol: answer.protocol };
}

function refuse(code: RefusalCode, reason: string): Refused {
  return { accepted: false, code, reason };
}

function clusterSentence(ownNode: string, ownCluster: string, otherNode: string, otherCluster: string): string {
  return `node ${quote(ownNode)} belongs to cluster ${quote(ownCluster)}, node ${quote(otherNode)} to cluster ${quote(otherCluster)}`;
}

function duplicateSentence(nodeId: string, first: Process, second: Process): string {
  return `two data directories call themselves node ${quote(nodeId)}: ${shortId(first.directory)} is connected, ${shortId(second.directory)} is refused`;
}

/** Two processes of one directory, which its lock allows only one after the other: there are two of the directory. */
function isCopy(first: Process, second: Process): boolean {
  return first.incarnation !== second.incarnation || (first.life !== second.life && first.life !== 0n && second.life !== 0n);
}

function copySentence(nodeId: string, first: LivePeer, second: LivePeer): string {
  const name = ({ incarnation, place }: LivePeer) => `incarnation ${incarnation} at ${place}`;
  return `the data directory ${shortId(first.directory)} of node ${quote(nodeId)} was copied and both copies run: ${name(first)} is connected, ${name(second)} is refused`;
}

function span(min: number, max: number): string {
  return min === max ? `version ${min}` : `versions ${min} to ${max}`;
}

function shortId(directory: Uint8Array): string {
  return Buffer.from(directory.subarray(0, 4)).toString('hex');
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

const QUOTED_CHARACTERS_MAX = 128;
const REASON_CHARACTERS_MAX = 512;

/** Foreign text for a log line: quoted, escaped, short. */
function quote(text: string): string {
  return JSON.stringify(text.length > QUOTED_CHARACTERS_MAX ? `${text.slice(0, QUOTED_CHARACTERS_MAX)}…` : text);
}

/** A foreign sentence: its length bounded, its control characters gone. */
function plain(text: string): string {
  return text.slice(0, REASON_CHARACTERS_MAX).replace(/\p{Cc}/gu, ' ');
}
