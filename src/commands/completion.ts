/** `completion`: prints what a shell needs to complete our commands, options and accounts. */
import {
  choiceArgument,
  type CommandWords,
  type Common,
  type Define,
  type OptionWords,
} from '../command-line.ts'
import { readConfig } from '../config-file.ts'

const shells = { bash, zsh, fish }
/** Asked for by the scripts themselves. */
const accounts = 'accounts'

export function defineCompletion(define: Define, words: () => CommandWords[]): void {
  define('completion', 'print the completions of a shell', [
    'xoauthd completion bash > ~/.local/share/bash-completion/completions/xoauthd',
    'xoauthd completion zsh > "${fpath[1]}/_xoauthd"',
    'xoauthd completion fish > ~/.config/fish/completions/xoauthd.fish',
  ])
    .addArgument(
      choiceArgument('<shell>', `the shell; "${accounts}" prints the names that are completed`, [
        ...Object.keys(shells),
        accounts,
      ]),
    )
    .action(async (shell: keyof typeof shells | typeof accounts, options: Common) => {
      process.stdout.write(
        shell === accounts ? await accountNames(options) : shells[shell](words()),
      )
    })
}

/** One a line. A domain has no name that could be completed. */
async function accountNames(options: Common): Promise<string> {
  const config = await readConfig(options.config, process.env)
  const names = config.accounts.flatMap(({ user, id, mailboxes }) => [user, id, ...mailboxes])
  return [...new Set(names)]
    .filter((name) => !name.startsWith('*'))
    .map((name) => `${name}\n`)
    .join('')
}

const takesAccount = ({ arguments: names }: CommandWords): boolean =>
  names.some(({ name }) => name === 'user')
const choicesOf = ({ arguments: names }: CommandWords): string =>
  names.flatMap(({ choices }) => choices).join(' ')
const isPath = ({ flags }: OptionWords): boolean => /<(?:file|path)>/.test(flags)

function bash(commands: readonly CommandWords[]): string {
  const cases = commands.map((command) => {
    const options = command.options.map(({ long }) => long).join(' ')
    const names = takesAccount(command) ? ` $(xoauthd completion ${accounts} 2>/dev/null)` : ''
    return `    ${command.name}) words="${options} ${choicesOf(command)}${names}" ;;`
  })
  const values = new Map(
    commands.flatMap(({ options }) =>
      options
        .filter(({ choices }) => choices.length > 0)
        .map(({ long, choices }) => [long, choices.join(' ')] as const),
    ),
  )
  const valueCases = [...values].map(([long, choices]) => `    ${long}) words="${choices}" ;;`)
  return `# bash completion for xoauthd, printed by: xoauthd completion bash
_xoauthd() {
  # bash takes "@" for the end of a word, and addresses have one.
  local line=\${COMP_LINE:0:COMP_POINT} current previous words typed cut
  current=\${line##* }
  read -ra typed <<<"\${line%"$current"}"
  previous=\${typed[\${#typed[@]}-1]}
  words="${commands.map(({ name }) => name).join(' ')}"
  [ \${#typed[@]} -gt 1 ] && case \${typed[1]} in
${cases.join('\n')}
  esac
  case $previous in
    --config|--socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
${valueCases.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  cut=\${current%"\${current##*@}"}
  [[ $COMP_WORDBREAKS == *@* ]] && COMPREPLY=("\${COMPREPLY[@]#"$cut"}")
}
complete -F _xoauthd xoauthd
`
}

function zsh(commands: readonly CommandWords[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
  const spec = (option: OptionWords) => {
    const action = isPath(option)
      ? '_files'
      : option.choices.length > 0
        ? `(${option.choices.join(' ')})`
        : ' '
    const about = `[${option.description.replace(/[[\]:]/g, '\\$&')}]`
    return quoted(option.takesValue ? `${option.long}=${about}: :${action}` : option.long + about)
  }
  const cases = commands.map((command) => {
    const specs = command.options.map(spec)
    if (takesAccount(command)) specs.push(quoted('*: :_xoauthd_accounts'))
    else if (choicesOf(command) !== '') specs.push(quoted(`1: :(${choicesOf(command)})`))
    return `    ${command.name}) _arguments ${specs.join(' ')} ;;`
  })
  const names = commands.map(({ name, description }) => quoted(`${name}:${description}`))
  return `#compdef xoauthd
# zsh completion for xoauthd, printed by: xoauthd completion zsh
_xoauthd_accounts() {
  local -a names
  names=(\${(f)"$(xoauthd completion ${accounts} 2>/dev/null)"})
  compadd -a names
}
_xoauthd() {
  local -a commands
  commands=(${names.join(' ')})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _xoauthd ]; then _xoauthd "$@"; else compdef _xoauthd xoauthd; fi
`
}

function fish(commands: readonly CommandWords[]): string {
  const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
  const lines = commands.flatMap((command) => {
    const after = `complete -c xoauthd -n '__fish_seen_subcommand_from ${command.name}'`
    return [
      `complete -c xoauthd -n __fish_use_subcommand -a ${command.name} -d ${quoted(command.description)}`,
      ...command.options.map((option) => {
        const choices = option.choices.length > 0 ? ` -xa ${quoted(option.choices.join(' '))}` : ''
        const value = choices || (isPath(option) ? ' -rF' : option.takesValue ? ' -x' : '')
        return `${after} -l ${option.long.slice(2)}${value} -d ${quoted(option.description)}`
      }),
      ...(takesAccount(command)
        ? [`${after} -a '(xoauthd completion ${accounts} 2>/dev/null)'`]
        : []),
      ...(choicesOf(command) === '' ? [] : [`${after} -a ${quoted(choicesOf(command))}`]),
    ]
  })
  return `# fish completion for xoauthd, printed by: xoauthd completion fish
complete -c xoauthd -f
${lines.join('\n')}
`
}
