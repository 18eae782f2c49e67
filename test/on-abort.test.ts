/** One listener a signal, however many wait for it. */
import { getEventListeners } from 'node:events';
import test from 'ava';
import { onAbort } from '../dist/runtime/index.js';

test('thousands wait for one signal without a warning, each is called once, in turn, and who forgot it is not', (t) => {
  const controller = new AbortController();
  const called: number[] = [];
  const forgets = Array.from({ length: 2_000 }, (_, at) => onAbort(controller.signal, () => called.push(at)));
  t.is(getEventListeners(controller.signal, 'abort').length, 1);
  for (const forget of forgets.slice(3)) forget();
  controller.abort();
  controller.abort();
  t.deepEqual(called, [0, 1, 2]);
});

test('while nobody waits there is no listener, and whoever comes then is called', (t) => {
  const controller = new AbortController();
  const forget = onAbort(controller.signal, () => t.fail('it was forgotten'));
  forget();
  t.is(getEventListeners(controller.signal, 'abort').length, 0);
  let calls = 0;
  onAbort(controller.signal, () => {
    calls += 1;
  });
  // Of a time that is over: it takes nothing from who waits now.
  forget();
  controller.abort();
  t.is(calls, 1);
});

test('a function that is handed over twice is called twice; one that forgets another while it is called keeps it from its call', (t) => {
  const controller = new AbortController();
  let calls = 0;
  const twice = () => {
    calls += 1;
  };
  const never = () => t.fail('it was forgotten');
  const later: (() => void)[] = [];
  onAbort(controller.signal, twice);
  onAbort(controller.signal, () => later[0]?.());
  onAbort(controller.signal, twice);
  later.push(onAbort(controller.signal, never));
  controller.abort();
  t.is(calls, 2);
  t.notThrows(onAbort(undefined, never));
});
