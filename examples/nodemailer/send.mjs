// Sends a mail from Node: node send.mjs RECIPIENT. Needs `npm install nodemailer` and this package.
import { createTransport } from 'nodemailer'
import { getToken } from 'xoauthd'

const transport = createTransport({
  host: 'smtp.gmail.com',
  port: 465,
  secure: true,
  requireTLS: true,
  auth: { type: 'OAuth2', user: 'me@example.org' },
})
// Asked for at each sign-in, so that a pool of connections outlives any token. `refused` is true when the
// server took the last token for a bad one.
transport.set('oauth2_provision_cb', (_user, refused, done) => {
  getToken('me@example.org', { service: 'smtp', refused }).then(
    ({ access_token }) => done(null, access_token),
    (error) => done(error),
  )
})

const { messageId } = await transport.sendMail({
  from: 'me@example.org',
  to: process.argv[2],
  subject: 'test',
  text: 'hello',
})
console.log(messageId)
