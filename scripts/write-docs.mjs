// Writes the documents that are derived from the code: docs/configuration.md. `npm run docs` after a build.
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describeConfig } from '../dist/config/index.js';

const HEAD = `# Configuration

Generated from the schema in \`src/config/schema.ts\` by \`npm run docs\`; do not edit.

Each name can be given in a file (JSON or YAML, nested at the dots), in the environment and as a flag of \`vexcoord serve\`. Flags win over
the environment, the environment over the file, the file over the default; a value replaces the whole one below it.
\`vexcoord config check FILE\` lists every mistake, one sentence each; \`vexcoord config show --origin FILE\` says where each value comes from.
In TypeScript \`Coordinator.start\` takes the same names as an object; the environment has no part in it.

As text (environment and flags): lists and pairs are separated by commas (\`150,300\`, \`b=10.0.0.2:7400,c=10.0.0.3:7400\`); a flag for them may
also be repeated; objects are written as JSON. Sizes are in bytes. An environment variable that begins with \`VEXCOORD_\` and is no name below
is a mistake, except below \`VEXCOORD_TEST_\`, which is kept for the coordinator's own tests.

Checks across names: twice \`raft.heartbeatIntervalMs\` is at most the shorter \`raft.electionTimeoutMs\`; peers and own ports have addresses of
their own; a node may be among its own \`peers\` at its \`listen\` address, so that one file serves all members; at most 7 voters; an address
outside loopback is refused (\`ADDRESS_REFUSED\`) unless its port has TLS by \`security.tls\`, or \`security.insecure\` is true, which is warned of.
`;

const cell = (text) => text.replaceAll('|', '\\|');

/** The whole of docs/configuration.md. */
export function configurationMarkdown() {
  const sections = describeConfig().map((one) => {
    const given = one.default === null ? 'must be given' : `\`${one.default}\``;
    const later = one.unused ? '\n\nAccepted and checked; nothing in this release reads it, and setting it earns a warning.' : '';
    return `## ${one.name}

${one.summary}${later}

| default | allowed | environment | flag |
|---|---|---|---|
| ${cell(given)} | ${cell(one.allowed)} | \`${one.env}\` | \`${one.flag}\` |
`;
  });
  return `${HEAD}\n${sections.join('\n')}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const docs = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs');
  writeFileSync(join(docs, 'configuration.md'), configurationMarkdown());
}
