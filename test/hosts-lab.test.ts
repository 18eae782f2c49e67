/** Nothing of a lab outlives it. */
import test from 'ava';
import { skipped } from './support/hosts/cluster.js';
import { Lab } from './support/hosts/lab.js';
import { forget, namespaces, nameOf, run } from './support/hosts/tools.js';

test.serial('namespaces go with their lab, and those of processes that are gone when the next is set up', (t) => {
  if (skipped(t)) return;
  // Of a number that no process has, and of one that another process has by now.
  const left = ['vexcoord-lab-99999999-1-1-a', 'vexcoord-lab-1-1-1-a'];
  const strange = `vexcoord-strange-${process.pid}`;
  t.teardown(() => [...left, strange].forEach(forget));
  for (const name of [...left, strange]) run('ip', ['netns', 'add', name]);
  const lab = Lab.set(t, ['a', 'b']);
  const other = Lab.set(t, ['a']);
  const during = namespaces();
  const own = (): string[] => namespaces().filter((name) => name.startsWith(nameOf('')));
  t.deepEqual(left.filter((name) => during.includes(name)), []);
  t.true(during.includes(strange));
  t.is(own().length, 5);
  lab.close();
  other.close();
  other.close();
  t.deepEqual(own(), []);
});
