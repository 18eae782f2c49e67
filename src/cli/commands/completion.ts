import { Argument, type Command } from 'commander';
import { writeLine } from '../output.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

export function registerCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices([...SHELLS]))
    .addHelpText('after', '\nExample:\n  source <(vexcoord completion bash)')
    .action((shell: Shell) => writeLine(SCRIPTS[shell](wordsOf(program))));
}

/** What may follow each command, by its words: subcommands and flags. */
type Words = ReadonlyMap<string, readonly string[]>;

function wordsOf(program: Command): Words {
  const words = new Map<string, string[]>();
  const walk = (command: Command, path: readonly string[]): void => {
    const help = command.createHelp();
    const children = help.visibleCommands(command);
    const flags = help.visibleOptions(command).flatMap(({ long }) => (long ? [long] : []));
    words.set(path.join(' '), [...children.map((child) => child.name()), ...flags]);
    for (const child of command.commands) walk(child, [...path, child.name()]);
  };
  walk(program, []);
  return words;
}

/** Shell cases: the words typed so far, without flags, to what may follow. */
const cases = (words: Words): string => [...words].map(([path, next]) => `    '${path}') next='${next.join(' ')}' ;;`).join('\n');

const bash = (words: Words): string => `_vexcoord() {
  local word path='' next='' trial
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && continue
    trial="\${path:+$path }$word"
    case "$trial" in
      ${[...words.keys()].filter((path) => path !== '').map((path) => `'${path}'`).join('|')}) path=$trial ;;
    esac
  done
  case "$path" in
${cases(words)}
  esac
  COMPREPLY=($(compgen -W "$next" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _vexcoord vexcoord`;

const SCRIPTS: Readonly<Record<Shell, (words: Words) => string>> = {
  bash,
  zsh: (words) => `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`,
  fish: (words) =>
    [
      'complete -c vexcoord -f',
      ...[...words].flatMap(([path, next]) =>
        next.map((word) => {
          const typed = path.split(' ').filter((part) => part !== '');
          const condition = typed.length === 0 ? '__fish_use_subcommand' : typed.map((part) => `__fish_seen_subcommand_from ${part}`).join('; and ');
          return `complete -c vexcoord -n '${condition}' ${word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`}`;
        }),
      ),
    ].join('\n'),
};
