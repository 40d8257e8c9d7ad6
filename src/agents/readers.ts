/** Agents that fetch mail: mpop, mbsync, getmail, offlineimap. */
import { program, type Agent } from './agent.ts'

export const mpop: Agent = {
  name: 'mpop',
  summary: 'fetches mail by POP3',
  version: '1.4.18',
  services: ['pop'],
  requires: [program('mpop')],
  limit: { of: 'string', bytes: 3069 },
  files(at) {
    const { login, host, port, startTls, tokenCommand, caFile } = at('pop')
    const text = `# mpop that signs in with tokens from xoauthd. This file is ~/.mpoprc or ~/.config/mpop/config; it
# holds no secret.

defaults
tls on
tls_starttls ${startTls ? 'on' : 'off'}
tls_trust_file ${caFile}
# Not "on": among the methods that mpop chooses from by itself XOAUTH2 is not.
auth xoauth2

account me
host ${host}
port ${port}
user ${login}
# mpop takes the first line of what this prints and does not look at the exit status. On failure
# xoauthd prints nothing there, so mpop stops, and its reason and hint are on the terminal.
passwordeval "${tokenCommand}"
# The folders new, cur and tmp must be there already.
delivery maildir ~/Mail
keep on

account default : me
`
    return [{ name: 'mpoprc', path: '~/.mpoprc', text }]
  },
}

export const mbsync: Agent = {
  name: 'mbsync',
  summary: 'keeps a Maildir and IMAP in step (isync)',
  version: '1.4.4',
  services: ['imap'],
  requires: [
    program('mbsync', 'isync'),
    {
      kind: 'SASL plugin',
      name: 'libkdexoauth2.so',
      from: { debianPackage: 'libsasl2-modules-kdexoauth2' },
    },
  ],
  limit: { of: 'token', bytes: 8191 },
  files(at) {
    const { login, host, port, startTls, tokenCommand, caFile } = at('imap')
    const text = `# mbsync that signs in with tokens from xoauthd. This file is ~/.mbsyncrc; it holds no secret. Run it
# as \`timeout 10m mbsync -a\`: with a token that the server refuses this version hangs.

IMAPAccount me
Host ${host}
Port ${port}
User ${login}
# Asked for at each login. mbsync looks at the exit status, and shows what xoauthd says on stderr.
PassCmd "${tokenCommand}"
AuthMechs XOAUTH2
# From version 1.5 on this line is \`TLSType ${startTls ? 'STARTTLS' : 'IMAPS'}\`.
SSLType ${startTls ? 'STARTTLS' : 'IMAPS'}
CertificateFile ${caFile}

IMAPStore me-remote
Account me

MaildirStore me-local
SubFolders Verbatim
Path ~/Mail/
Inbox ~/Mail/INBOX

Channel me
Far :me-remote:
Near :me-local:
Patterns *
Create Near
SyncState *
`
    return [{ name: 'mbsyncrc', path: '~/.mbsyncrc', text }]
  },
}

export const getmail: Agent = {
  name: 'getmail',
  summary: 'fetches mail by IMAP',
  version: '6.18.11',
  services: ['imap'],
  requires: [program('getmail', 'getmail6')],
  files(at) {
    const { login, host, port, tokenArguments, caFile } = at('imap')
    const command = tokenArguments.map((word) => `"${word}"`).join(', ')
    const text = `# getmail that signs in with tokens from xoauthd. This file is ~/.config/getmail/getmailrc; it holds no
# secret. TLS is from the first byte (port 993): its XOAUTH2 has no STARTTLS.

[retriever]
type = SimpleIMAPSSLRetriever
server = ${host}
port = ${port}
username = ${login}
use_xoauth2 = True
# Asked for once a run, without a shell. Of a failure getmail shows the exit status alone: run the command
# by hand to read why.
password_command = (${command})
ca_certs = ${caFile}

[destination]
type = Maildir
# The folders new, cur and tmp must be there already.
path = ~/Mail/

[options]
read_all = false
delete = false
`
    return [{ name: 'getmailrc', path: '~/.config/getmail/getmailrc', text }]
  },
}

export const offlineimap: Agent = {
  name: 'offlineimap',
  summary: 'keeps a Maildir and IMAP in step',
  version: '8.0.0 (2021-10)',
  services: ['imap'],
  requires: [program('offlineimap', 'offlineimap3')],
  files(at) {
    const { mailbox, login, host, port, startTls, tokenArguments, caFile } = at('imap')
    const words = tokenArguments.map((word) => (word === mailbox ? 'mailbox' : `"${word}"`))
    const text = `# offlineimap that signs in with tokens from xoauthd. This file is ~/.offlineimaprc; it holds no secret.

[general]
accounts = me
pythonfile = ~/.offlineimap.py

[Account me]
localrepository = me-local
remoterepository = me-remote

[Repository me-local]
type = Maildir
localfolders = ~/Mail

[Repository me-remote]
type = IMAP
remotehost = ${host}
remoteport = ${port}
remoteuser = ${login}
ssl = ${startTls ? 'no' : 'yes'}
starttls = ${startTls ? 'yes' : 'no'}
sslcacertfile = ${caFile}
auth_mechanisms = XOAUTH2
# Asked for at each login.
oauth2_access_token_eval = token("${mailbox}")
`
    const python = `"""Tokens from xoauthd, for ~/.offlineimaprc."""
import subprocess


def token(mailbox):
    # What xoauthd says on stderr stays on the terminal; a failure ends the run.
    command = [${words.join(', ')}]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True)
    return done.stdout.strip()
`
    return [
      { name: 'offlineimaprc', path: '~/.offlineimaprc', text },
      { name: 'offlineimap.py', path: '~/.offlineimap.py', text: python },
    ]
  },
}
