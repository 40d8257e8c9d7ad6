/** Programs of one's own: shell scripts with curl, Python's library, Node with nodemailer. */
import { program, schemeOf, type Agent, type Door } from './agent.ts'

export const curl: Agent = {
  name: 'curl',
  summary: 'sends and fetches single messages from a shell script',
  version: '7.88.1',
  services: ['smtp', 'imap'],
  requires: [program('curl')],
  files(at) {
    const smtp = at('smtp')
    const imap = at('imap')
    const options = ({ startTls }: Door) =>
      `--silent --show-error --config -${startTls ? ' --ssl-reqd' : ''} --login-options AUTH=XOAUTH2`
    const credentials = ({ login, tokenCommand }: Door) => `token=$(${tokenCommand})
# By a pipe: on its command line everybody could read the token.
printf 'user = "%s"\\noauth2-bearer = "%s"\\n' '${login}' "$token" |`
    const send = `#!/bin/sh
# Sends a message: send.sh FILE RECIPIENT
set -eu
${credentials(smtp)}
  curl ${options(smtp)} --crlf \\
    --mail-from '${smtp.mailbox}' --mail-rcpt "$2" --upload-file "$1" \\
    --url '${schemeOf('smtp', smtp)}://${smtp.host}:${smtp.port}'
`
    const fetch = `#!/bin/sh
# Prints a message of INBOX: fetch.sh NUMBER
set -eu
${credentials(imap)}
  curl ${options(imap)} \\
    --url "${schemeOf('imap', imap)}://${imap.host}:${imap.port}/INBOX;MAILINDEX=$1"
`
    return [
      { name: 'send.sh', path: 'anywhere', text: send, executable: true },
      { name: 'fetch.sh', path: 'anywhere', text: fetch, executable: true },
    ]
  },
}

export const python: Agent = {
  name: 'python',
  summary: 'smtplib and imaplib of the standard library',
  version: '3.11',
  services: ['smtp', 'imap'],
  requires: [program('python3')],
  files(at) {
    const smtp = at('smtp')
    const imap = at('imap')
    const credential = ({ login, tokenArguments }: Door) => `def credential():
    """What AUTHENTICATE XOAUTH2 sends; raises when there is no token."""
    command = [${tokenArguments.map((word) => `"${word}"`).join(', ')}]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60, text=True)
    return f"user=${login}\\x01auth=Bearer {done.stdout.strip()}\\x01\\x01"`
    const connectSmtp = smtp.startTls
      ? `smtplib.SMTP("${smtp.host}", ${smtp.port}) as server:
    server.starttls(context=ssl.create_default_context())`
      : `smtplib.SMTP_SSL("${smtp.host}", ${smtp.port}, context=ssl.create_default_context()) as server:`
    const connectImap = imap.startTls
      ? `imaplib.IMAP4("${imap.host}", ${imap.port}) as server:
    server.starttls(ssl.create_default_context())`
      : `imaplib.IMAP4_SSL("${imap.host}", ${imap.port}, ssl_context=ssl.create_default_context()) as server:`
    const send = `#!/usr/bin/env python3
"""Sends the message on standard input: send.py RECIPIENT"""
import smtplib
import ssl
import subprocess
import sys


${credential(smtp)}


message = sys.stdin.buffer.read()
with ${connectSmtp}
    server.ehlo()
    xoauth2 = credential()
    # The server explains a refusal in a second challenge, which wants an empty answer.
    answer = lambda challenge=None: "" if challenge else xoauth2
    server.auth("XOAUTH2", answer, initial_response_ok=False)
    server.sendmail("${smtp.mailbox}", sys.argv[1:], message)
`
    const fetch = `#!/usr/bin/env python3
"""Prints a message of INBOX: fetch.py NUMBER"""
import imaplib
import ssl
import subprocess
import sys


${credential(imap)}


with ${connectImap}
    xoauth2 = credential().encode()
    # The server explains a refusal in a second challenge, which wants an empty answer.
    server.authenticate("XOAUTH2", lambda challenge: b"" if challenge else xoauth2)
    server.select("INBOX", readonly=True)
    _, parts = server.fetch(sys.argv[1], "(RFC822)")
    sys.stdout.buffer.write(parts[0][1])
`
    return [
      { name: 'send.py', path: 'anywhere', text: send, executable: true },
      { name: 'fetch.py', path: 'anywhere', text: fetch, executable: true },
    ]
  },
}

export const nodemailer: Agent = {
  name: 'nodemailer',
  summary: 'sends mail from Node',
  version: '10.6.0',
  services: ['smtp'],
  requires: [program('node', 'nodejs')],
  files(at) {
    const { mailbox, login, host, port, startTls } = at('smtp')
    const text = `// Sends a mail from Node: node send.mjs RECIPIENT. Needs \`npm install nodemailer\` and this package.
import { createTransport } from 'nodemailer'
import { getToken } from 'xoauthd'

const transport = createTransport({
  host: '${host}',
  port: ${port},
  secure: ${startTls ? 'false' : 'true'},
  requireTLS: true,
  auth: { type: 'OAuth2', user: '${login}' },
})
// Asked for at each sign-in, so that a pool of connections outlives any token. \`refused\` is true when the
// server took the last token for a bad one.
transport.set('oauth2_provision_cb', (_user, refused, done) => {
  getToken('${mailbox}', { service: 'smtp', refused }).then(
    ({ access_token }) => done(null, access_token),
    (error) => done(error),
  )
})

const { messageId } = await transport.sendMail({
  from: '${mailbox}',
  to: process.argv[2],
  subject: 'test',
  text: 'hello',
})
console.log(messageId)
`
    return [{ name: 'send.mjs', path: 'anywhere', text }]
  },
}
