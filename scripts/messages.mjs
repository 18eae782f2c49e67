/** Code of the handshake's messages, from proto/peer.proto: without it a node would parse the file and compile code of it at each start. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const OPTIONS = ['--target', 'static-module', '--wrap', 'esm', '--root', 'vexfs-peer', '--no-create', '--no-verify', '--no-delimited', '--no-typeurl', '--no-comments'];

/** The command that writes it. */
export function messagesCommand() {
  mkdirSync(at('dist/network'), { recursive: true });
  return [at('node_modules/protobufjs-cli/bin/pbjs'), ...OPTIONS, '--out', at('dist/network/peer-messages.js'), at('proto/peer.proto')];
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) process.exitCode = spawnSync(process.execPath, messagesCommand(), { stdio: 'inherit' }).status ?? 1;
