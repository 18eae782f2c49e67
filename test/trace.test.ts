import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import test from 'ava';
import { eventOfOperation, parseOperation, readTrace, recordCommand, StraceTranslator, traceEvents } from '../dist/cli/trace/index.js';
import { CoordinatorError } from '../dist/errors/index.js';
import { HEADER, newWriter } from './helpers/packing.js';

const GIT_SESSION = 'examples/traces/git-session.jsonl.gz';

function room(t: { teardown(done: () => void): void }): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vexcoord-test-')));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
const never = (error: CoordinatorError) => {
  throw error;
};
async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test('the recorded git session maps whole, and every event of it can be packed', async (t) => {
  const events = await collect(traceEvents(GIT_SESSION, { reads: true, onInvalidLine: never }));
  t.is(events.length, 13_125);
  t.false(events.includes(null));
  const whole = events.flatMap((event) => (event === null ? [] : [event]));
  t.is(newWriter().packEvents({ ...HEADER, events: whole }).count, 13_125);
  const withoutReads = await collect(traceEvents(GIT_SESSION, { reads: false, onInvalidLine: never }));
  t.is(withoutReads.filter((event) => event === null).length, whole.filter((event) => event.type === 'FilesystemRead').length);
});

test('a trace is read plain or packed, whatever its name', async (t) => {
  const folder = room(t);
  const text = gunzipSync(readFileSync(GIT_SESSION)).toString().split('\n').slice(0, 50).join('\n');
  writeFileSync(join(folder, 'plain.gz'), text);
  writeFileSync(join(folder, 'packed.jsonl'), gzipSync(text));
  const [plain, packed] = [await collect(readTrace(join(folder, 'plain.gz'))), await collect(readTrace(join(folder, 'packed.jsonl')))];
  t.is(plain.length, 50);
  t.deepEqual(packed, plain);
});

test('a line that cannot be used is named by its number, and the rest goes on', async (t) => {
  const file = join(room(t), 'trace.jsonl');
  const good = '{"us":1,"pid":0,"op":"mkdir","path":"/a"}';
  writeFileSync(file, [good, '{"us":', '', '[]', '{"us":1,"pid":0,"op":"mkdir"}', '{"us":1,"pid":0,"op":"dance","path":"/a"}', '{"us":1,"pid":0,"op":"rename","path":"/a"}', '{"us":1,"pid":0,"op":"setattr","path":"/a"}', good].join('\n'));
  const errors: CoordinatorError[] = [];
  const events = await collect(traceEvents(file, { reads: true, onInvalidLine: (error) => errors.push(error) }));
  t.is(events.length, 2);
  t.deepEqual(errors.map((error) => [error.code, error.details?.['line']]), [2, 4, 5, 6, 7, 8].map((line) => ['LINE_INVALID', line]));
  t.regex(errors[0]?.message ?? '', /^line 2: it is no JSON: /);
  t.is(errors[2]?.message, 'line 5: path is missing.');
  t.regex(errors[3]?.message ?? '', /^line 6: op is "dance"; allowed: create, open/);
});

test('a file that is no trace is one error', async (t) => {
  const folder = room(t);
  const cut = join(folder, 'cut.gz');
  writeFileSync(cut, readFileSync(GIT_SESSION).subarray(0, 5000));
  for (const file of [cut, join(folder, 'missing'), folder]) {
    const error = await t.throwsAsync(collect(traceEvents(file, { reads: true, onInvalidLine: () => {} })), { instanceOf: CoordinatorError });
    t.is(error.code, 'TRACE_INVALID');
    t.true(error.message.startsWith(`The trace ${file} cannot be read: `));
  }
});

test('operations become the events VexFS reports', (t) => {
  const map = (text: string) => {
    const { event, isRead } = eventOfOperation(parseOperation(`{"us":0,"pid":0,"path":"/f",${text}}`, 1), 1);
    return [event.type, isRead, event.metadata];
  };
  t.deepEqual(map('"op":"write","bytes":5'), ['FilesystemWrite', false, { op: 'write', bytes: 5 }]);
  t.deepEqual(map('"op":"readdir"'), ['FilesystemRead', true, { op: 'readdir' }]);
  t.deepEqual(map('"op":"fsync"'), ['SystemSync', false, { op: 'fsync' }]);
  t.deepEqual(map('"op":"link","to":"/g"'), ['FilesystemHardlink', false, { op: 'link' }]);
  t.deepEqual(map('"op":"symlink","target":"g"'), ['FilesystemSymlink', false, { op: 'symlink', target: 'g' }]);
  t.deepEqual(map('"op":"setattr","mode":"0644","mtime":1'), ['FilesystemChmod', false, { op: 'setattr', mode: '0644', mtime: 1 }]);
  t.is(map('"op":"setattr","uid":0')[0], 'FilesystemChown');
  t.is(map('"op":"setattr","size":0')[0], 'FilesystemTruncate');
  t.is(map('"op":"setattr","mtime":1')[0], 'FilesystemWrite');
});

const STRACE = [
  '10 100.000000 openat(AT_FDCWD</r>, "missing", O_RDONLY) = -1 ENOENT (No such file or directory)',
  '10 100.000005 mkdir("d", 0777) = 0',
  '10 100.000010 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>',
  '11 100.000020 chdir("d" <unfinished ...>',
  '10 100.000030 <... clone resumed>, child_tidptr=0x7f) = 11',
  '11 100.000040 <... chdir resumed>) = 0',
  '11 100.000050 openat(AT_FDCWD, "n\\303\\244\\74m\\76 \\"e\\".txt", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</r/d/n\\303\\244\\74m\\76 "e".txt>',
  '11 100.000060 write(3</r/d/n\\303\\244\\74m\\76 "e".txt>,  <unfinished ...>',
  '10 100.000070 open("f", O_RDWR|O_CREAT|O_EXCL, 0600) = 4</r/f>',
  '11 100.000080 <... write resumed>""..., 7) = 7',
  '10 100.000090 openat(AT_FDCWD</r>, "f", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 5</r/f>',
  '10 100.000100 read(4</r/f>, "", 10) = 0',
  '10 100.000110 copy_file_range(4</r/f>, NULL, 5</r/g>, NULL, 100, 0) = 9',
  '10 100.000120 renameat2(AT_FDCWD</r>, "f", 7</r/d>, "h", RENAME_NOREPLACE) = 0',
  '10 100.000130 rename("/elsewhere/x", "/r/in") = 0',
  '10 100.000140 rename("/r/in", "/elsewhere/x") = 0',
  '10 100.000150 fchmodat(AT_FDCWD</r>, "../r/d/h", 0640) = 0',
  '10 100.000160 unlinkat(7</r/d>, "h", 0) = 0',
  '10 100.000170 unlinkat(AT_FDCWD</r>, "d", AT_REMOVEDIR) = 0',
  '10 100.000180 write(1<socket:[123]>, ""..., 4) = 4',
  '10 100.000190 write(9</r/gone>(deleted), ""..., 4) = 4',
  '10 100.000200 symlink("../t, (x", "/r/s") = 0',
  '10 100.000210 ftruncate(5</r/g>, 123) = 0',
  '10 100.000220 fsync(5</r/g>) = 0',
  '10 100.000230 read(3</etc/passwd>, ""..., 10) = 10',
  '10 100.000240 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED} ---',
  '10 100.000250 exit_group(0) = ?',
  '10 100.000260 openat(AT_FDCWD</rx>, "f", O_RDONLY) = 3</rx/f>',
  '10 100.000270 +++ exited with 0 +++',
  'strace: Process 10 detached',
];

test("strace's lines become operations: interleaved, escaped, renamed, by descriptor", (t) => {
  const translator = new StraceTranslator('/r', '/r');
  t.deepEqual(STRACE.flatMap((line) => translator.push(line)), [
    { us: 0, pid: 0, op: 'mkdir', path: '/d' },
    { us: 45, pid: 1, op: 'create', path: '/d/nä<m> "e".txt' },
    { us: 65, pid: 0, op: 'create', path: '/f' },
    { us: 75, pid: 1, op: 'write', path: '/d/nä<m> "e".txt', bytes: 7 },
    { us: 85, pid: 0, op: 'open', path: '/f' },
    { us: 85, pid: 0, op: 'truncate', path: '/f', size: 0 },
    { us: 105, pid: 0, op: 'read', path: '/f', bytes: 9 },
    { us: 105, pid: 0, op: 'write', path: '/g', bytes: 9 },
    { us: 115, pid: 0, op: 'rename', path: '/f', to: '/d/h' },
    { us: 125, pid: 0, op: 'create', path: '/in' },
    { us: 135, pid: 0, op: 'unlink', path: '/in' },
    { us: 145, pid: 0, op: 'chmod', path: '/d/h', mode: '0640' },
    { us: 155, pid: 0, op: 'unlink', path: '/d/h' },
    { us: 165, pid: 0, op: 'rmdir', path: '/d' },
    { us: 195, pid: 0, op: 'symlink', path: '/s', target: '../t, (x' },
    { us: 205, pid: 0, op: 'truncate', path: '/g', size: 123 },
    { us: 215, pid: 0, op: 'fsync', path: '/g' },
  ]);
});

test('garbage from strace is passed over', (t) => {
  const translator = new StraceTranslator('/r', '/r');
  for (const line of STRACE) for (let cut = 0; cut < line.length; cut++) t.notThrows(() => translator.push(line.slice(0, cut)));
});

test('a real command is recorded', async (t) => {
  if (spawnSync('strace', ['-o', '/dev/null', 'true']).status !== 0) {
    t.log('strace is missing or may not trace here: not tested');
    t.pass();
    return;
  }
  const folder = room(t);
  const out = join(folder, 'trace.jsonl.gz');
  const script = 'mkdir "$0/a"; cd "$0/a"; echo hello > one; mv one ../two; ln ../two ../three; chmod 640 ../two; cat ../two >/dev/null; rm ../three; exit 3';
  const result = await recordCommand({ command: ['sh', '-c', script, folder], out, root: folder });
  t.is(result.exitStatus, 3);
  const lines = await collect(readTrace(out));
  t.is(lines.length, result.operations);
  const brief = lines.flatMap((line) => ('operation' in line ? [line.operation] : [])).map(({ op, path, to }) => [op, path, ...(to === undefined ? [] : [to])].join(' '));
  t.deepEqual(
    brief.filter((operation) => !/^(open|read) /.test(operation)),
    ['mkdir /a', 'create /a/one', 'write /a/one', 'rename /a/one /two', 'link /two /three', 'chmod /two', 'unlink /three'],
  );
  t.true(brief.includes('open /two'));
});

test.serial('without strace the fix is said in one sentence', async (t) => {
  const { PATH } = process.env;
  process.env['PATH'] = '/nonexistent';
  t.teardown(() => {
    process.env['PATH'] = PATH;
  });
  const error = await t.throwsAsync(recordCommand({ command: ['true'], out: join(room(t), 'x') }), { instanceOf: CoordinatorError });
  t.is(error.code, 'STRACE_MISSING');
  t.regex(error.message, /^strace is missing: install it \(.*apt-get install strace\), then run this again\.$/);
});
