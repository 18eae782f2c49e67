/** What `scripts/messages.mjs` makes of proto/peer.proto, as far as it is used. */
import type { IConversionOptions, Writer } from 'protobufjs';

export interface MessageType {
  fromObject(plain: object): object;
  toObject(message: object, options: IConversionOptions): object;
  encode(message: object): Writer;
  /** Throws for bytes that are no such message. */
  decode(bytes: Uint8Array): object;
}

export const vexfs: { readonly peer: { readonly v1: { readonly Hello: MessageType; readonly Answer: MessageType } } };
