import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { once } from './fuzz/engine.js';
import { inputsIn, KEPT } from './fuzz/kept.js';
import { TARGETS } from './fuzz/targets/index.js';

for (const target of TARGETS) {
  test.serial(`what is kept of ${target.name} holds`, async (t) => {
    const inputs = [...target.seeds().map((bytes, seed) => ({ path: `seed ${seed}`, bytes })), ...inputsIn(join(KEPT, target.name))];
    for (const { path, bytes } of inputs) {
      const find = await once(target, bytes);
      if (find !== null) {
        t.log(`npm run fuzz -- ${target.name} ${path}`);
        throw find.error;
      }
    }
    t.true(inputs.length > target.seeds().length, 'something is kept');
  });
}

test('every folder of the corpus has its target', (t) => {
  const names = TARGETS.map(({ name }) => name);
  t.deepEqual(readdirSync(KEPT).filter((name) => !names.includes(name)), []);
});
