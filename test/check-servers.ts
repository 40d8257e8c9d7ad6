/**
 * What `xoauthd check` says of servers that fail: each refusal that a mail server has words for, mail
 * servers that are none, providers that cannot be reached, and grants that are not what they were.
 */
import t from 'tap'
import { at, openPlace } from './fixtures/refusing-servers.ts'

const me = at('me')

void t.test('with a daemon', async (t) => {
  const place = await openPlace(t)
  const { says } = place
  const check = (name: string) => place.check(name)

  await t.test('what SMTP servers say', async (t) => {
    const cases: readonly [string, object][] = [
      [
        '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information.',
        {
          saw: /^me@issuer\.example: SMTP AUTH is switched off for the whole tenant; no token can change that \(smtp\.example says: 535 5\.7\.139/,
          hint: /^Set-TransportConfig -SmtpClientAuthenticationDisabled \$false.* send = "graph"$/,
          code: 'not-allowed',
        },
      ],
      [
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. Contact your administrator.",
        {
          saw: /the security defaults of the tenant forbid this kind of login/,
          hint: /^in the Entra admin center: Properties, Manage security defaults/,
          code: 'not-allowed',
        },
      ],
      [
        '430 4.2.0 STOREDRV; mailbox logon failure; failure to process message',
        {
          saw: /the application may not use this mailbox \(smtp\.example says: 430 4\.2\.0/,
          hint: /^register its service principal in Exchange with the object id of the enterprise/,
          code: 'unavailable',
        },
      ],
      [
        '550 5.5.127 Token will expire soon',
        { saw: /too short for the high-volume endpoint/, hint: /^ask with min=600/ },
      ],
      [
        '535 5.7.3 Authentication unsuccessful [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM]',
        {
          saw: /does not take the token/,
          hint: /primary one of the mailbox.*xoauthd login \S+$/,
        },
      ],
      [
        '535 5.0.0 no',
        {
          saw: 'me@issuer.example at smtp.example:465: smtp.example says: 535 5.0.0 no',
          hint: /SMTP AUTH is on/,
        },
      ],
      [
        '454 4.7.0 Temporary authentication failure',
        { saw: /at smtp\.example:465: smtp\.example says: 454/, code: 'unavailable' },
      ],
    ]
    for (const [answer, wanted] of cases) {
      says.smtp = answer
      const { rows } = await check('me')
      t.match(rows('smtp'), [{ verdict: 'problem', account: me, ...wanted }], answer)
    }
    delete says.smtp
    t.match((await check('me')).rows('smtp'), [{ verdict: 'ok' }])
  })

  await t.test('what IMAP servers say', async (t) => {
    says.imap = 'NO [WEBALERT https://accounts.google.com/signin/continue] Web login required.'
    t.match((await check('me')).rows('imap')[0], {
      verdict: 'problem',
      saw: /^me@issuer\.example: Google wants the person to look at a page first/,
      hint: 'open Gmail in a browser as this person and answer what it asks',
      code: 'not-allowed',
    })
    says.imap = 'NO [UNAVAILABLE] try later'
    t.match((await check('me')).rows('imap')[0], {
      saw: /^me@issuer\.example at imap\.example:993: imap\.example says.*: NO \[UNAVAILABLE\] try later/,
      code: 'unavailable',
    })
    delete says.imap
    says.inbox = 'BAD User is authenticated but not connected.'
    t.match((await check('me')).rows('imap')[1], {
      saw: /^team@issuer\.example: the token is good, but opens no such mailbox/,
      hint: /Add-MailboxPermission -Identity TEAM -User \S+ -AccessRights FullAccess$/,
    })
    says.inbox = 'NO [NOPERM] Permission denied'
    t.match((await check('me')).rows('imap')[1], {
      verdict: 'problem',
      saw: 'team@issuer.example at imap.example:993: imap.example says: NO [NOPERM] Permission denied',
      hint: 'the login was good, and INBOX does not open: may the one who signed in read this mailbox?',
      code: 'not-allowed',
    })
    delete says.inbox
    t.match((await check('me')).rows('imap'), [{ verdict: 'ok' }, { verdict: 'ok' }])
  })

  await t.test('servers that are not for this', async (t) => {
    const bare = await check('bare')
    t.match(bare.rows('imap', 'smtp'), [
      {
        saw: 'bare@issuer.example at bare.example:993: bare.example offers neither XOAUTH2 nor OAUTHBEARER',
        hint: /^is it the right server\? A proxy/,
        code: 'unavailable',
      },
      {
        saw: 'bare@issuer.example at bare.example:465: bare.example does not offer XOAUTH2',
        hint: 'is SMTP AUTH on for this mailbox, and is it the right server?',
      },
    ])
    t.equal(bare.code, 75)
    t.match((await check('wrong-name')).rows('imap', 'smtp'), [
      {
        saw: /: no connection to busy\.example:993: ERR_TLS_CERT_ALTNAME_INVALID$/,
        hint: /^something between here and the server answers in its place.*NODE_EXTRA_CA_CERTS$/,
      },
      {
        saw: /^\S+: no connection to closed\.example:465: ECONNREFUSED$/,
        hint: 'is it the right server (hosts in the account, unless --host names it), and may port 465 be used from here?',
      },
    ])
  })

  await t.test('a sign-in that covers too little', async (t) => {
    const narrow = await check('narrow')
    t.match(narrow.rows('scopes', 'token imap'), [
      {
        verdict: 'problem',
        account: at('narrow'),
        saw: 'imap needs mail.read: not granted at the sign-in',
        hint: `allow it in the registration, run: xoauthd login ${at('narrow')}, and agree to all that is asked for`,
        code: 'sign-in-needed',
      },
      { verdict: 'ok' },
    ])
    t.equal(narrow.code, 77)
    // Where each service has a token of its own, the server refuses the one that was not consented to.
    const wide = await check('wide')
    t.match(wide.rows('scopes', 'token smtp', 'token imap'), [
      { check: 'scopes', verdict: 'ok', saw: 'what smtp need was granted' },
      { check: 'token smtp', verdict: 'ok' },
      {
        check: 'token imap',
        verdict: 'problem',
        saw: /"invalid_scope"/,
        hint: /scope/,
        code: 'misconfigured',
      },
    ])
  })

  await t.test('a sign-in that is over, and a secret that is another one', async (t) => {
    const over = await check('over')
    t.match(over.rows('sign-in', 'token smtp', 'mail servers'), [
      {
        check: 'sign-in',
        verdict: 'warning',
        saw: /^the provider has ended the sign-in .*"invalid_grant".*asking once more to be sure$/,
        hint: /run: xoauthd login over@issuer\.example$/,
      },
      { check: 'token smtp', verdict: 'problem', saw: /"invalid_grant"/, code: 'unavailable' },
    ])
    const secret = await check('secret')
    t.match(secret.rows('sign-in', 'token smtp'), [
      { verdict: 'warning', saw: /"invalid_client"/, hint: /secret/ },
      { verdict: 'problem', saw: /"invalid_client"/, hint: /secret/, code: 'misconfigured' },
    ])
    t.equal(secret.code, 78)
  })

  await t.test('providers out of reach', async (t) => {
    const network = async (name: string) => {
      const { findings } = await check(name)
      return findings.filter((row) => row.check === 'network')
    }
    t.match(await network('closed'), [
      {
        verdict: 'problem',
        saw: /^closed\.example: .*ECONNREFUSED/,
        hint: 'check the network, DNS and HTTPS_PROXY',
        code: 'unavailable',
      },
    ])
    t.match(await network('fake'), [
      {
        verdict: 'problem',
        saw: /^fake\.example: its certificate is not to be trusted \(\w*(?:SELF_SIGNED|UNABLE_TO_VERIFY|ISSUER)\w*\)$/,
        hint: /^a captive portal, a proxy that breaks TLS, or a wrong clock; .*NODE_EXTRA_CA_CERTS$/,
      },
    ])
  })
})
