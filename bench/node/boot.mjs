// Loads the process's TypeScript. Doing so here, and not with --import, keeps the loader out of the node's network Worker.
import { tsImport } from 'tsx/esm/api';

await tsImport('./main.ts', import.meta.url);
