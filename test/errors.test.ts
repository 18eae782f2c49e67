import { readFileSync } from 'node:fs';
import test from 'ava';
import { LIMITS } from '../dist/contracts/index.js';
import { CoordinatorError, ERROR_CODES, nearest } from '../dist/errors/index.js';

test('docs/errors.md has a section for each code, in the order of the table, with the same facts', (t) => {
  const sections = readFileSync('docs/errors.md', 'utf8').split('\n## ').slice(1);
  t.deepEqual(sections.map((section) => section.split('\n')[0]), Object.keys(ERROR_CODES));
  for (const section of sections) {
    const info = ERROR_CODES[section.split('\n')[0] as keyof typeof ERROR_CODES];
    t.true(section.includes(info.summary), info.summary);
    t.true(section.trimEnd().endsWith(`gRPC ${info.grpc} · exit ${info.exit} · committed ${info.committed}`), info.summary);
  }
});

test('docs/limits.md has every limit with its value', (t) => {
  const text = readFileSync('docs/limits.md', 'utf8');
  for (const [name, value] of Object.entries(LIMITS)) t.regex(text, new RegExp(`\\| ${value.toLocaleString('en')} \\w+ \\| \`${name}\``), name);
});

test('docs/dependencies.md lists what package.json has, with the same pins', (t) => {
  const [text = '', crates = ''] = readFileSync('docs/dependencies.md', 'utf8').split('## Rust crates');
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>;
  const all = { ...manifest['dependencies'], ...manifest['optionalDependencies'], ...manifest['devDependencies'] };
  const listed = [...text.matchAll(/^\| (\S+) \| (\d\S*) \|/gm)].map(([, name, pin]) => [name, pin]);
  t.deepEqual(Object.fromEntries(listed), all);
  for (const pin of Object.values(all)) t.regex(pin, /^\d+\.\d+\.\d+$/);
  t.false(readFileSync('package-lock.json', 'utf8').includes('"resolved"'));
  const cargo = ['native', 'native/core', 'native/runtime', 'native/binding'].map((room) => readFileSync(`${room}/Cargo.toml`, 'utf8')).join('\n');
  for (const [, name = '', pin = ''] of cargo.matchAll(/^([\w-]+) = (?:"=|\{ version = "=)([\d.]+)"/gm)) t.true(crates.includes(name) && crates.includes(pin), `${name} ${pin}`);
});

test('an error says its code, its sentence and what is committed', (t) => {
  const error = new CoordinatorError('TIMEOUT', 'It took too long.', { committed: 'yes', details: { timeoutMs: 5 }, cause: 'x' });
  t.deepEqual(JSON.parse(JSON.stringify(error)), { code: 'TIMEOUT', message: 'It took too long.', committed: 'yes' });
  t.is(error.cause, 'x');
  t.is(error.exitCode, 1);
  t.is(new CoordinatorError('TIMEOUT', 'x').committed, 'unknown');
  t.is(new CoordinatorError('INVALID_EVENT', 'x').committed, 'no');
});

test('what another layer threw becomes one of ours', (t) => {
  const native = Object.assign(new Error('disk'), { code: 'DISK_FAILED' });
  t.is(CoordinatorError.from(native).code, 'DISK_FAILED');
  t.is(CoordinatorError.from(Object.assign(new Error('x'), { code: 'ENOENT' })).code, 'INTERNAL');
  t.is(CoordinatorError.from('text', 'UNAVAILABLE').code, 'UNAVAILABLE');
  const own = new CoordinatorError('CLOSED', 'x');
  t.is(CoordinatorError.from(own), own);
});

test('a mistyped name finds the one that was meant, and nothing finds nothing', (t) => {
  t.is(nearest('FilesytemWrite', ['FilesystemRead', 'FilesystemWrite']), 'FilesystemWrite');
  t.is(nearest('nodeid', ['nodeId', 'dataDir']), 'nodeId');
  t.is(nearest('zzz', ['nodeId', 'dataDir']), null);
});
