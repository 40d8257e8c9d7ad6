/** What mail servers say, and what we make of it. */
import t from 'tap'
import { explainMailAnswer } from '../src/mail-answers.ts'

const answers: Readonly<Record<string, RegExp>> = {
  '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled':
    /whole tenant/,
  '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.':
    /this mailbox/,
  "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.":
    /security defaults/,
  '501 5.5.127 Token will expire soon': /too short/,
  '430 4.2.0 STOREDRV; mailbox logon failure': /application/,
  'A01 BAD User is authenticated but not connected.': /licence/,
  '554 5.2.252 SendAsDenied; me@corp.example not allowed to send as team@corp.example':
    /may not send/,
  'NO [ALERT] IMAP access is disabled for your domain.': /IMAP is switched off/,
  'NO [WEBALERT https://accounts.google.com/signin/continue] Web login required.': /look at a page/,
  '535 5.7.3 Authentication unsuccessful': /does not take the token/,
  '535-5.7.8 Username and Password not accepted': /does not take the token/,
  'A1 NO AUTHENTICATE failed.': /does not take the token/,
}

const own = { account: 'me@corp.example', login: 'me@corp.example' }

void t.test('every answer that is known has a meaning and a next step', (t) => {
  for (const [answer, meaning] of Object.entries(answers)) {
    const explained = explainMailAnswer(answer, own)
    t.match(explained?.meaning, meaning, answer)
    t.ok(explained?.next, answer)
  }
  t.equal(explainMailAnswer('250 2.0.0 OK', own), undefined)
  t.end()
})

void t.test('a refused token: whose mailbox it is decides what to do', (t) => {
  const refusal = 'A1 NO AUTHENTICATE failed.'
  const mine = explainMailAnswer(refusal, { ...own, login: 'Me@Corp.example' })
  t.match(mine?.next, /; then: xoauthd login me@corp\.example$/)

  const shared = explainMailAnswer(refusal, { ...own, login: 'team@corp.example' })
  t.match(shared?.meaning, 'does not take the token of me@corp.example for this mailbox')
  t.match(
    shared?.next,
    '-Identity team@corp.example -User me@corp.example -AccessRights FullAccess',
  )
  t.notMatch(shared?.next, /xoauthd login/, 'another sign-in gives no right')

  const domain = { account: '*@corp.example', login: 'ann@corp.example' }
  const application = explainMailAnswer(refusal, domain)
  t.match(application?.next, /the application may use it; .*service principal$/)
  t.notMatch(application?.next, /xoauthd login/, 'nobody signs in')
  for (const answer of Object.keys(answers))
    t.notMatch(explainMailAnswer(answer, domain)?.next, '*@corp.example', answer)
  t.end()
})
