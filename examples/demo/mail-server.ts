/**
 * A mail server that takes mail only from who shows a good token: npm's `smtp-server`, on a free port of
 * this machine. As nothing leaves the machine it does without TLS, which no real one may.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { SMTPServer } from 'smtp-server'

export interface MailServer {
  readonly port: number
  /** The mails that came in, header and body. */
  readonly mails: readonly string[]
  close(): Promise<void>
}

/** @param isGood asks the OAuth server whether a token is this user's and may send mail */
export async function startMailServer(
  isGood: (user: string, token: string) => Promise<boolean>,
): Promise<MailServer> {
  const mails: string[] = []
  const server = new SMTPServer({
    authMethods: ['XOAUTH2'],
    allowInsecureAuth: true,
    hideSTARTTLS: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    onAuth({ username = '', accessToken = '' }, _session, answer) {
      isGood(username, accessToken).then(
        // What `data` holds goes out as Gmail's 334 challenge, and then comes a 535.
        (good) => answer(null, good ? { user: username } : { data: { status: '401' } }),
        answer,
      )
    },
    onData(stream, _session, answer) {
      text(stream).then((mail) => {
        mails.push(mail)
        answer()
      }, answer)
    },
  })
  server.on('error', () => undefined) // a client that resets its connection is told so by its own end
  const listener = server.listen(0, '127.0.0.1')
  await once(listener, 'listening')

  return {
    port: (listener.address() as AddressInfo).port,
    mails,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}
