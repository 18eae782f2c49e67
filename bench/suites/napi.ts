import type { Suite } from '../context.js';
import { timeCases } from '../cases.js';
import { closeRoom, openRoom } from '../rooms.js';
import { median, Samples } from '../samples.js';
import { SingleCore } from '../single-core.js';

const IN_FLIGHT = 64;

/** One member without peers in this process: what crosses between JavaScript and Rust, without network. */
export const napi: Suite = {
  name: 'napi',
  summary: 'crossing N-API: a call, packing and handing in 256 events, reading 256 deliveries',
  async run({ options, report, progress }) {
    const directory = openRoom(options.directory, 'napi');
    const core = await SingleCore.open(directory);
    try {
      progress('  packing and handing in');
      const batches = options.quick ? 2000 : 10_000;
      const pack = new Samples();
      const submit = new Samples();
      for (let batch = 0; batch < batches; batch++) {
        // A full queue would measure waiting; the core's work between is not counted.
        if (core.inFlight >= IN_FLIGHT) await core.drained();
        const began = process.hrtime.bigint();
        const packed = core.pack();
        const handed = process.hrtime.bigint();
        core.submit(packed);
        const ended = process.hrtime.bigint();
        pack.add(Number(handed - began) / 1000);
        submit.add(Number(ended - handed) / 1000);
      }
      await core.drained();
      report.add('napi', 'napi.batch256.pack', median(pack.values()), 'us');
      report.add('napi', 'napi.batch256.submit', median(submit.values()), 'us');

      progress('  reading and calling');
      const times = await timeCases('napi', options.quick ? 0.2 : 2, [
        { name: 'napi.empty.call', run: () => core.call() },
        { name: 'napi.batch256.read', run: () => core.read() },
        { name: 'napi.batch256.readDecoded', run: () => core.readDecoded() },
        { name: 'napi.publish.roundtrip', run: () => core.publish() },
      ]);
      for (const { name, us } of times) report.add('napi', name, us, 'us');
    } finally {
      await core.close();
      closeRoom(directory);
    }
  },
};
