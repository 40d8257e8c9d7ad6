/** Mail servers that queue and send for a whole machine: exim, whose files are shipped as they are, and postfix. */
import { readShipped } from '../shipped.ts'
import { program, type Agent, type At, type ConfigurationFile } from './agent.ts'

export const exim: Agent = {
  name: 'exim',
  summary: 'an MTA: queues, and sends for everybody on this machine',
  version: '4.96',
  services: ['smtp'],
  requires: [program('exim4', 'exim4-daemon-light')],
  limit: { of: 'string', bytes: 3069 },
  takesDomains: true,
  asks: { protocol: 'line', usualPath: '/run/xoauthd/exim.sock' },
  files: eximFiles,
}

function eximFiles(at: At): ConfigurationFile[] {
  const { mailbox, host, port, socket } = at('smtp')
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
      text: shipped.replace(macro, (_, start: string) => start + socket),
    },
    {
      name: 'authenticator.conf',
      path: '/etc/exim4/xoauthd-authenticator.conf',
      text: readShipped('examples/exim/authenticator.conf'),
    },
    { name: 'accounts', path: '/etc/exim4/xoauthd-accounts', text: accounts },
  ]
}

export const postfix: Agent = {
  name: 'postfix',
  summary: 'a mail server that looks tokens up in xoauthd; wants a SASL plugin',
  version: '3.7.11',
  services: ['smtp'],
  requires: [
    program('postfix'),
    {
      kind: 'SASL plugin',
      name: 'libxoauth2.so',
      from: { source: 'https://github.com/moriyoshi/cyrus-sasl-xoauth2' },
    },
  ],
  takesDomains: true,
  asks: { protocol: 'socketmap', usualPath: '/run/xoauthd/postfix.sock' },
  files(at) {
    const { host, port, startTls, caFile, socket } = at('smtp')
    const text = `# What postfix needs to send through a server that accepts only OAuth 2, with tokens from xoauthd.
# Lines for /etc/postfix/main.cf; examples/postfix/README.md says what each of them is for.

relayhost = [${host}]:${port}
smtp_tls_security_level = secure
smtp_tls_wrappermode = ${startTls ? 'no' : 'yes'}
smtp_tls_CAfile = ${caFile}

smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = xoauth2

# Asked for every connection; what it answers is kept nowhere. "proxy:" because smtp runs in a chroot.
smtp_sasl_password_maps = proxy:socketmap:unix:${socket}:sasl

# The key is the sender of the mail, so that each sender has a token of its own.
smtp_sender_dependent_authentication = yes
`
    return [{ name: 'main.cf', path: '/etc/postfix/main.cf', text }]
  },
}

export const postfixPipe: Agent = {
  name: 'postfix-pipe',
  summary: 'a mail server that sends through xoauthd sendmail; wants no plugin',
  version: '3.7.11',
  services: ['smtp'],
  requires: [program('postfix')],
  takesDomains: true,
  asks: { protocol: 'line', usualPath: '/run/xoauthd/mail.sock' },
  files(at) {
    const { program, host, port, socket } = at('smtp')
    const main = `# Postfix that hands each mail to xoauthd, which signs in and sends it: lines for /etc/postfix/main.cf.

default_transport = xoauthd
# One recipient a run: when the server refuses one, that one alone is told so.
xoauthd_destination_recipient_limit = 1
`
    const master = `# Lines for /etc/postfix/master.cf. The user is one that may open the socket. With soft_bounce mail waits
# for whatever is wrong: a refused sign-in would send all of it back.
xoauthd   unix  -       n       n       -       10      pipe
  -o soft_bounce=yes
  flags=q user=mail:mail null_sender=
  argv=${program} sendmail --socket ${socket} --host ${host}:${port} -i -f \${sender} -- \${recipient}
`
    return [
      { name: 'main.cf', path: '/etc/postfix/main.cf', text: main },
      { name: 'master.cf', path: '/etc/postfix/master.cf', text: master },
    ]
  },
}
