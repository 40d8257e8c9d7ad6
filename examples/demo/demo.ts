/**
 * xoauthd from a configuration to a mail, in some ten seconds: `npm run demo`.
 *
 * Everything is real but the provider: an OAuth server and a mail server on this machine play it, so
 * that no account is needed, and their tokens live so short that you see one being replaced.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createTransport } from 'nodemailer'
import { signInWithBrowser } from './browser.ts'
import { startMailServer } from './mail-server.ts'
import { startOAuthServer } from './oauth-server.ts'
import { checkBuild, xoauthd } from './program.ts'
import { perform } from './stage.ts'

const me = 'me@demo.example'
/** Real ones live an hour. */
const tokenSeconds = 12

await perform(async ({ step, show, atEnd }) => {
  checkBuild()
  const home = mkdtempSync(join(tmpdir(), 'xoauthd-demo-'))
  atEnd(() => rmSync(home, { recursive: true }))

  step('An OAuth server starts, like the one of a mail provider.')
  const oauth = await startOAuthServer(me, tokenSeconds)
  atEnd(() => oauth.close())
  show(`${oauth.issuer}   its access tokens live ${tokenSeconds} seconds`)

  step('A mail server starts. It wants a token and asks the OAuth server whether it is good.')
  const mailServer = await startMailServer(async (user, token) => {
    const facts = await oauth.inspect(token)
    return facts?.user === user && facts.scopes.includes('mail.send')
  })
  atEnd(() => mailServer.close())
  show(`127.0.0.1:${mailServer.port}   AUTH XOAUTH2 and nothing else`)

  step('All that xoauthd has to be told, ~/.config/xoauthd/config.toml:')
  const configuration = `[[account]]
user = "${me}"
provider = "oauth2"
issuer = "${oauth.issuer}"
client_id = "${oauth.clientId}"
scopes = { smtp = ["mail.send"], login = ["openid", "offline_access"] }
`
  mkdirSync(join(home, '.config/xoauthd'), { recursive: true })
  writeFileSync(join(home, '.config/xoauthd/config.toml'), configuration, { mode: 0o600 })
  show(configuration)

  step('You sign in once, in the browser. The demo presses the buttons for you.')
  show(`$ xoauthd login ${me} --no-browser`)
  const login = xoauthd(home, 'login', me, '--no-browser')
  atEnd(() => login.stop())
  const address = await login.says(/^https?:/)
  show(`${address.slice(0, address.indexOf('&'))}&…`)
  for (const title of await signInWithBrowser(address)) show(`[ ${title} ]`)
  show(await login.says(/^Signed in/))
  await login.output

  step('The daemon starts. From now on it keeps the token fresh by itself.')
  show('$ xoauthd serve')
  const daemon = xoauthd(home, 'serve')
  atEnd(() => daemon.stop())
  show(await daemon.says(/^info ready/))

  step('A mail program asks for a credential: one line to a socket, one string back.')
  show(`$ printf 'SMTP ${me}' | socat - UNIX-CONNECT:$XDG_RUNTIME_DIR/xoauthd/socket`)
  const socket = join(home, 'xoauthd/socket')
  const credential = await ask(socket, `SMTP ${me}`)
  show(shortened(credential))

  step('It sends a mail with just that string, in base64.')
  const reply = await sendMail(mailServer.port, credential)
  const base64 = Buffer.from(credential).toString('base64')
  show(`C: AUTH XOAUTH2 ${base64.slice(0, 24)}…\nS: ${reply}`)

  step('Before the token ends, the daemon fetches the next one. Wait some seconds …')
  const first = await oauth.inspect(tokenIn(credential))
  let next = credential
  while (next === credential) {
    show(await daemon.says(/^info refreshed/))
    next = await ask(socket, `SMTP ${me}`)
  }
  show(shortened(next))
  const second = await oauth.inspect(tokenIn(next))
  const early = (first?.expiresAt ?? 0) - (second?.issuedAt ?? Infinity)
  if (early <= 0) throw new Error('the old token ended before the new one was there')
  show(`A new token, ${early} s before the end of the old one: no mail ever waits for it.`)

  step('What xoauthd says about it:')
  show('$ xoauthd status')
  show(await xoauthd(home, 'status').output)

  step('And the mail that arrived:')
  const [mail] = mailServer.mails
  if (mail === undefined) throw new Error('no mail arrived')
  show(mail)
})

/** What a mail program does: send the line, end, read to the end. */
async function ask(socket: string, line: string): Promise<string> {
  const reply = await text(createConnection(socket).end(line))
  if (reply === '') throw new Error(`xoauthd has no answer to: ${line}`)
  return reply
}

/** @returns what the mail server said to the credential */
async function sendMail(port: number, credential: string): Promise<string> {
  let reply = ''
  const transport = createTransport({
    host: '127.0.0.1',
    port,
    auth: { type: 'custom', method: 'XOAUTH2', user: me, pass: '' },
    customAuth: {
      async XOAUTH2(smtp) {
        const base64 = Buffer.from(credential).toString('base64')
        const { response, status } = await smtp.sendCommand(`AUTH XOAUTH2 ${base64}`)
        if (status !== 235) throw new Error(response)
        reply = response
        return true
      },
    },
  })
  await transport.sendMail({
    from: me,
    to: 'you@demo.example',
    subject: 'Hello from xoauthd',
    text: 'No password was used to send this mail.',
  })
  return reply
}

function tokenIn(credential: string): string {
  return /Bearer ([^\x01]+)/.exec(credential)?.[1] ?? ''
}

/** Fit to be shown: ^A is what separates the parts. */
function shortened(credential: string): string {
  const token = tokenIn(credential)
  return credential.replace(token, `${token.slice(0, 6)}…`).replaceAll('\x01', '^A')
}
