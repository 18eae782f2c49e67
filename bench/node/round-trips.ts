import { once } from 'node:events';
import { connect } from 'node:net';
import { Samples } from '../samples.js';

const MESSAGE = Buffer.alloc(256, 1);
/** The first ones open the connection's window. */
const WARMUP = 3;

export async function roundTrips({ host, port, samples }: { readonly host: string; readonly port: number; readonly samples: number }): Promise<Float64Array> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, 'connect');
  const times = new Samples();
  for (let at = 0; at < samples + WARMUP; at++) {
    const began = performance.now();
    socket.write(MESSAGE);
    for (let missing = MESSAGE.length; missing > 0; ) missing -= ((await once(socket, 'data')) as [Buffer])[0].length;
    if (at >= WARMUP) times.add(performance.now() - began);
  }
  socket.destroy();
  return times.values();
}
