/** Agents that know no OAuth and run a command of xoauthd's instead: fetchmail, git send-email. */
import { program, type Agent } from './agent.ts'

export const fetchmail: Agent = {
  name: 'fetchmail',
  summary: 'fetches mail by IMAP; reads through xoauthd tunnel',
  version: '6.4.37',
  services: ['imap'],
  requires: [program('fetchmail'), program('procmail')],
  files(at) {
    const { mailbox, host, program } = at('imap')
    const text = `# fetchmail reads through xoauthd, which signs in for it: fetchmail 6 knows no OAuth. This file is
# ~/.fetchmailrc, mode 0600; it holds no secret.

poll ${host}
  protocol IMAP
  # fetchmail starts this instead of a connection, and finds itself signed in.
  plugin "${program} tunnel imap ${mailbox}"
  # The password must be there and is not used. There is nothing to encrypt between the two: the tunnel
  # speaks TLS to the server.
  user "${mailbox}"
  password "unused"
  sslproto ""
  # Without it what was fetched is deleted from the server.
  keep
  # Into the Maildir ~/Mail. Whoever sorts with a ~/.procmailrc writes: procmail -d %T
  mda "procmail DEFAULT=$HOME/Mail/ /dev/null"
`
    return [{ name: 'fetchmailrc', path: '~/.fetchmailrc', text }]
  },
}

export const git: Agent = {
  name: 'git',
  summary: 'git send-email; sends through xoauthd sendmail',
  version: '2.39',
  services: ['smtp'],
  requires: [program('git'), program('git-send-email', 'git-email')],
  files(at) {
    const { mailbox, program } = at('smtp')
    const text = `# git send-email through xoauthd. These lines go into ~/.gitconfig; they hold no secret.

[sendemail]
	# The account is found by the sender.
	from = ${mailbox}
	# Nothing else is needed, with any version of git and of Perl's libraries.
	sendmailCmd = ${program} sendmail
`
    return [{ name: 'gitconfig', path: '~/.gitconfig', text }]
  },
}
