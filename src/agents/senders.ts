/** Agents that send mail: msmtp, s-nail, and exim, whose files are shipped as they are. */
import { readShipped } from '../shipped.ts'
import type { Agent, At, ConfigurationFile } from './agent.ts'

export const msmtp: Agent = {
  name: 'msmtp',
  summary: 'sends mail, without a queue',
  version: '1.8.23',
  services: ['smtp'],
  requires: [{ program: 'msmtp', debianPackage: 'msmtp' }],
  limit: { of: 'string', bytes: 3069 },
  files(at) {
    const { mailbox, login, host, port, startTls, tokenCommand, caFile } = at('smtp')
    const text = `# msmtp that signs in with tokens from xoauthd. This file is ~/.msmtprc or ~/.config/msmtp/config; it
# holds no secret. For another address add an account of its own; \`msmtp -a\` picks one, and
# \`msmtp --read-envelope-from\` picks by the sender.

defaults
tls on
tls_starttls ${startTls ? 'on' : 'off'}
tls_trust_file ${caFile}
# Not "on": among the methods that msmtp chooses from by itself XOAUTH2 is not.
auth xoauth2

account me
host ${host}
port ${port}
from ${mailbox}
user ${login}
# msmtp sends the first line of what this prints and does not look at the exit status. On failure
# xoauthd prints nothing there, so msmtp stops, and its reason and hint are on the terminal.
passwordeval "${tokenCommand}"

account default : me
`
    return [{ name: 'msmtprc', path: '~/.msmtprc', text }]
  },
}

export const sNail: Agent = {
  name: 's-nail',
  summary: 'reads and sends mail by command; here it sends',
  version: '14.9.24',
  services: ['smtp'],
  requires: [{ program: 's-nail', debianPackage: 's-nail' }],
  limit: { of: 'string', bytes: 5814 },
  files(at) {
    const { mailbox, login, host, port, startTls, tokenCommand, caFile } = at('smtp')
    const url = `${startTls ? 'smtp' : 'smtps'}://${encodeURIComponent(login)}@${host}:${port}`
    const text = `# s-nail that signs in with tokens from xoauthd, for ~/.mailrc. Used as \`s-nail -A me\`.
account me {
  set v15-compat
  set from=${mailbox}
  set mta=${url}${startTls ? ' smtp-use-starttls' : ''}
  # What it calls OAUTHBEARER goes out as XOAUTH2.
  set smtp-auth=oauthbearer
  set tls-verify=strict tls-ca-file=${caFile}
  # Asked for when the account is chosen. The token goes through a pipe, so that no list of processes
  # shows it. An empty password would be offered: on failure there is to be none at all.
  vput ! password ${tokenCommand}
  if "$password" == ""
    unset password
  end
  # Otherwise it says nothing of a failure.
  set sendwait
}
`
    return [{ name: 'mailrc', path: '~/.mailrc', text }]
  },
}

export const exim: Agent = {
  name: 'exim',
  summary: 'an MTA: queues, and sends for everybody on this machine',
  version: '4.96',
  services: ['smtp'],
  requires: [{ program: 'exim4', debianPackage: 'exim4-daemon-light' }],
  limit: { of: 'string', bytes: 3069 },
  takesDomains: true,
  files: eximFiles,
}

function eximFiles(at: At): ConfigurationFile[] {
  const { mailbox, host, port, eximSocket } = at('smtp')
  // exim begins TLS with STARTTLS here, which servers have beside port 465 on 587.
  const startTlsPort = port === 465 ? 587 : port
  const accounts = `# Who sends through which server: exim reads this file for every message, so there is nothing to
# reload. The key is the envelope sender, or *@ and its domain; case does not matter.
#
#   host   the server's name
#   port   587 unless given; the server must offer STARTTLS there
#   user   the mailbox to ask xoauthd for; the sender itself unless given
#
#   me@uni.example:     host=smtp.office365.com
#   alerts@uni.example: host=smtp.office365.com user=me@uni.example
#   *@corp.example:     host=smtp.gmail.com

${mailbox}: host=${host} port=${startTlsPort}
`
  const macro = /^(XOAUTHD_SOCKET *= ).*$/m
  const shipped = readShipped('examples/exim/exim4.conf')
  return [
    {
      name: 'exim4.conf',
      path: '/etc/exim4/exim4.conf',
      text: shipped.replace(macro, (_, start: string) => start + eximSocket),
    },
    {
      name: 'authenticator.conf',
      path: '/etc/exim4/xoauthd-authenticator.conf',
      text: readShipped('examples/exim/authenticator.conf'),
    },
    { name: 'accounts', path: '/etc/exim4/xoauthd-accounts', text: accounts },
  ]
}
