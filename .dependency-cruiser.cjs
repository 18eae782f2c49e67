/**
 * The storeys of src/ (docs/ARCHITECTURE.md): a file imports from its own folder and from the storeys below, never upwards and never
 * from a sibling folder. Storeys 0 and 1 are pure: what touches the world is handed to them as a port.
 *
 * Shown able to fail by test/storeys.test.ts, which plants a violation of each rule in a copy.
 */
const STOREYS = [
  ['contracts', 'errors'],
  ['config', 'events', 'crdt', 'consistency', 'conflict', 'graph', 'routing', 'membership', 'observability'],
  ['native', 'network', 'runtime'],
  ['coordinator'],
  ['api', 'bridge', 'cli'],
];

/** Imports between folders of one storey that are meant: contracts and errors speak of each other; CRDTs pack as events do; the command line is a client of the API. */
const SIBLINGS = { contracts: ['errors'], errors: ['contracts'], crdt: ['events'], cli: ['api'] };

/** Node modules without a side effect or a clock: all that storeys 0 and 1 may use. */
const PURE_NODE_MODULES = '^(node:)?(buffer|util|path|url|string_decoder)$';

/** The addon is built, not kept: it may be absent when the folders are checked. */
const BUILT_ADDON = '^(\\.\\./)*native/binding/dist/';

const above = (storey) => STOREYS.slice(storey + 1).flat();
const folder = (names) => `^src/(${names.join('|')})/`;

const storeyRules = STOREYS.flatMap((folders, storey) =>
  folders.flatMap((name) => {
    const forbidden = [...above(storey), ...folders.filter((other) => other !== name && !SIBLINGS[name]?.includes(other))];
    return forbidden.length === 0
      ? []
      : [
          {
            name: `storey-${storey}-${name}`,
            comment: `src/${name} (storey ${storey}) imports only from itself and from the storeys below it.`,
            severity: 'error',
            from: { path: folder([name]) },
            to: { path: folder(forbidden) },
          },
        ];
  }),
);

module.exports = {
  forbidden: [
    ...storeyRules,
    {
      name: 'index-is-the-top',
      comment: 'src/index.ts gathers the public names; nothing inside imports it.',
      severity: 'error',
      from: { path: '^src/.+/' },
      to: { path: '^src/index\\.ts$' },
    },
    {
      name: 'known-folders',
      comment: 'Every folder of src/ belongs to a storey; add a new one to STOREYS.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/[^/]+/', pathNot: folder(STOREYS.flat()) },
    },
    {
      name: 'pure-storeys',
      comment: 'Storeys 0 and 1 import no socket, file, timer or process: they are handed ports.',
      severity: 'error',
      from: { path: folder([...STOREYS[0], ...STOREYS[1]]) },
      to: { dependencyTypes: ['core'], pathNot: PURE_NODE_MODULES },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-development-packages',
      comment: 'What ships imports only what is installed with it.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'unknown', 'undetermined'], dependencyTypesNot: ['type-only'], pathNot: BUILT_ADDON },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true, pathNot: BUILT_ADDON },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules|native/binding/dist' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'types', 'default'] },
  },
};
