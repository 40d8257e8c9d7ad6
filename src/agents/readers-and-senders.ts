/** Programs that a person reads and writes mail in: neomutt, mutt, aerc. */
import { program, schemeOf, type Agent, type At, type Door } from './agent.ts'

export const neomutt: Agent = {
  name: 'neomutt',
  summary: 'reads and sends mail in a terminal',
  version: '20220429',
  services: ['imap', 'smtp'],
  requires: [program('neomutt')],
  limit: { of: 'token', bytes: 4094 },
  files: (at) => [
    {
      name: 'neomuttrc',
      path: '~/.config/neomutt/neomuttrc',
      text: muttText('neomutt', at),
    },
  ],
}

export const mutt: Agent = {
  name: 'mutt',
  summary: 'reads and sends mail in a terminal',
  version: '2.2.12',
  services: ['imap', 'smtp'],
  requires: [program('mutt')],
  files: (at) => [{ name: 'muttrc', path: '~/.muttrc', text: muttText('mutt', at) }],
}

/** Both are of one family. */
function muttText(name: string, at: At): string {
  const imap = at('imap')
  const smtp = at('smtp')
  return `# ${name} that signs in with tokens from xoauthd. It holds no secret.

set from = "${imap.mailbox}"
set folder = "${schemeOf('imap', imap)}://${imap.host}:${imap.port}/"
set spoolfile = "+INBOX"
set imap_user = "${imap.login}"
# Not "oauthbearer": neomutt's takes tokens of up to 510 bytes only, and Microsoft's servers have none.
set imap_authenticators = "xoauth2"
# Asked for at each login. What it says on stderr stays on the screen; when it prints nothing, ${name}
# does not sign in.
set imap_oauth_refresh_command = "${imap.tokenCommand}"

set smtp_url = "${schemeOf('smtp', smtp)}://${smtp.login}@${smtp.host}:${smtp.port}"
set smtp_authenticators = "xoauth2"
set smtp_oauth_refresh_command = "${smtp.tokenCommand}"

# Most providers keep what was sent by themselves.
set record = ""
set ssl_force_tls = yes
set ssl_starttls = yes
set ssl_ca_certificates_file = "${imap.caFile}"
`
}

export const aerc: Agent = {
  name: 'aerc',
  summary: 'reads and sends mail in a terminal',
  version: '0.14.0',
  services: ['imap', 'smtp'],
  requires: [program('aerc')],
  files(at) {
    const imap = at('imap')
    const smtp = at('smtp')
    const url = (service: 'imap' | 'smtp', door: Door) =>
      `${schemeOf(service, door)}+xoauth2://${encodeURIComponent(door.login)}@${door.host}:${door.port}`
    const text = `# aerc that signs in with tokens from xoauthd: ~/.config/aerc/accounts.conf, mode 0600; it holds no
# secret. Without token_endpoint in the URLs what the commands print is the token itself.

[me]
from = ${imap.mailbox}
source = ${url('imap', imap)}
# Asked once at the start: after a connection that broke an hour later, aerc has to be started again.
source-cred-cmd = ${imap.tokenCommand}
outgoing = ${url('smtp', smtp)}
# Asked for each mail.
outgoing-cred-cmd = ${smtp.tokenCommand}
smtp-starttls = ${smtp.startTls ? 'yes' : 'no'}
default = INBOX
`
    return [{ name: 'accounts.conf', path: '~/.config/aerc/accounts.conf', text }]
  },
}
