/**
 * Servers that need no endpoints in the file: `provider = "fastmail"` is `provider = "oauth2"` with these
 * values filled in, each with the page or source that it was taken from.
 *
 * Nobody could sign in to any of them where this was written: no registration of ours exists there. What
 * is known not to work stands in docs/providers/others.md. Keys of the account go before what is here.
 */
import { clientSettings, problemsOf, type OAuth2Settings } from './oauth2-settings.ts'
import { createOAuth2, type Ways } from './oauth2.ts'
import { providerKind, type MailHosts, type ProviderKind, type Scopes } from './provider.ts'

interface Preset {
  /** From the page of help of each for mail programs. */
  readonly hosts?: MailHosts
  readonly recognised: NonNullable<ProviderKind['recognised']>
  readonly authorization_endpoint: string
  readonly token_endpoint: string
  readonly revocation_endpoint?: string
  readonly client_auth?: 'basic'
  /** What the authorization request needs beside the usual. */
  readonly authorize?: Readonly<Record<string, string>>
  /** By service; `login` is asked for at sign-in alone. */
  readonly scopes: Scopes
  readonly issuer?: string
  readonly tooMany?: Ways['tooMany']
}

const minuteMs = 60_000
/** Thunderbird signs in to most of them: its mailnews/base/src/OAuth2Providers.sys.mjs is meant below. */
const table: Readonly<Record<string, Preset>> = {
  // www.fastmail.com/for-developers/oauth (registration, PKCE); endpoints, scopes and issuer: Thunderbird.
  fastmail: {
    hosts: {
      imap: 'imap.fastmail.com:993',
      smtp: 'smtp.fastmail.com:465',
      pop: 'pop.fastmail.com:995',
    },
    recognised: { domains: ['fastmail.com', 'fastmail.fm'], mx: ['messagingengine.com'] },
    authorization_endpoint: 'https://api.fastmail.com/oauth/authorize',
    token_endpoint: 'https://api.fastmail.com/oauth/refresh',
    revocation_endpoint: 'https://api.fastmail.com/oauth/revoke',
    issuer: 'https://api.fastmail.com',
    scopes: {
      smtp: ['https://www.fastmail.com/dev/protocol-smtp'],
      imap: ['https://www.fastmail.com/dev/protocol-imap'],
      pop: ['https://www.fastmail.com/dev/protocol-pop'],
    },
  },

  // developer.yahoo.com/oauth2/guide (endpoints), senders.yahooinc.com/developer/documentation (mail).
  yahoo: {
    hosts: {
      imap: 'imap.mail.yahoo.com:993',
      smtp: 'smtp.mail.yahoo.com:465',
      pop: 'pop.mail.yahoo.com:995',
    },
    recognised: {
      domains: [
        'yahoo.com',
        'ymail.com',
        'rocketmail.com',
        'yahoo.co.uk',
        'yahoo.de',
        'yahoo.fr',
        'yahoo.it',
        'yahoo.es',
        'att.net',
        'sbcglobal.net',
      ],
      mx: ['yahoodns.net'],
    },
    authorization_endpoint: 'https://api.login.yahoo.com/oauth2/request_auth',
    token_endpoint: 'https://api.login.yahoo.com/oauth2/get_token',
    scopes: { smtp: ['mail-w'], imap: ['mail-w'], pop: ['mail-w'] },
  },

  // The same two pages: AOL is Yahoo's by now, with host names and registrations of its own.
  aol: {
    hosts: { imap: 'imap.aol.com:993', smtp: 'smtp.aol.com:465', pop: 'pop.aol.com:995' },
    recognised: { domains: ['aol.com', 'aim.com'], mx: [] },
    authorization_endpoint: 'https://api.login.aol.com/oauth2/request_auth',
    token_endpoint: 'https://api.login.aol.com/oauth2/get_token',
    scopes: { smtp: ['mail-w'], imap: ['mail-w'], pop: ['mail-w'] },
  },

  // yandex.com/dev/id/doc/en (endpoints, renewal), tech.yandex.com/oauth/doc/imap (mail); scopes: Thunderbird.
  yandex: {
    hosts: { imap: 'imap.yandex.com:993', smtp: 'smtp.yandex.com:465' },
    recognised: {
      domains: ['yandex.com', 'yandex.ru', 'ya.ru'],
      mx: ['mx.yandex.net', 'mx.yandex.ru'],
    },
    authorization_endpoint: 'https://oauth.yandex.com/authorize',
    token_endpoint: 'https://oauth.yandex.com/token',
    scopes: { smtp: ['mail:smtp'], imap: ['mail:imap_full'] },
  },

  // id.vk.com, "OAuth Mail" (scopes, "only together with userinfo"); Basic: Thunderbird, EmailEngine.
  mailru: {
    hosts: { imap: 'imap.mail.ru:993', smtp: 'smtp.mail.ru:465' },
    recognised: { domains: ['mail.ru', 'bk.ru', 'inbox.ru', 'list.ru'], mx: ['emx.mail.ru'] },
    authorization_endpoint: 'https://oauth.mail.ru/login',
    token_endpoint: 'https://oauth.mail.ru/token',
    client_auth: 'basic',
    scopes: { smtp: ['mail.imap'], imap: ['mail.imap'], login: ['userinfo'] },
  },

  // Thunderbird; Comcast itself publishes nothing.
  comcast: {
    hosts: { imap: 'imap.comcast.net:993', smtp: 'smtp.comcast.net:465' },
    recognised: { domains: ['comcast.net'], mx: [] },
    authorization_endpoint: 'https://oauth.xfinity.com/oauth/authorize',
    token_endpoint: 'https://oauth.xfinity.com/oauth/token',
    scopes: {
      smtp: ['https://email.comcast.net/'],
      imap: ['https://email.comcast.net/'],
      login: ['profile', 'openid'],
    },
  },

  // vyvojari.seznam.cz/oauth/doc (endpoints); scopes: Thunderbird.
  seznam: {
    hosts: { imap: 'imap.seznam.cz:993', smtp: 'smtp.seznam.cz:465' },
    recognised: {
      domains: ['seznam.cz', 'email.cz', 'post.cz', 'spoluzaci.cz'],
      mx: ['mx1.seznam.cz', 'mx2.seznam.cz'],
    },
    authorization_endpoint: 'https://login.seznam.cz/api/v1/oauth/auth',
    token_endpoint: 'https://login.seznam.cz/api/v1/oauth/token',
    scopes: { smtp: ['email'], imap: ['email'], login: ['identity'] },
  },

  // www.zoho.com/accounts/protocol/oauth.html (endpoints by data centre; access_type, prompt), the token
  // limits at www.zoho.com/crm/developer/docs/api/v8/token-validity.html: 10 access tokens of a refresh
  // token in 10 minutes, then "Access Denied" for what is left of them.
  zoho: {
    recognised: {
      domains: ['zohomail.com', 'zoho.com'],
      mx: ['mx.zoho.com', 'mx2.zoho.com', 'mx3.zoho.com'],
    },
    authorization_endpoint: 'https://accounts.zoho.com/oauth/v2/auth',
    token_endpoint: 'https://accounts.zoho.com/oauth/v2/token',
    revocation_endpoint: 'https://accounts.zoho.com/oauth/v2/token/revoke',
    // Without them there is no refresh token.
    authorize: { access_type: 'offline', prompt: 'consent' },
    // For its HTTP interface: that IMAP or SMTP take such a token is said nowhere.
    scopes: { api: ['ZohoMail.messages.ALL', 'ZohoMail.accounts.READ'] },
    tooMany: { says: /Access Denied|too many requests/i, waitMs: 10 * minuteMs },
  },
}

function presetKind(preset: Preset): ProviderKind {
  const filledIn = (settings: Partial<OAuth2Settings> & Pick<OAuth2Settings, 'client_id'>) => ({
    authorization_endpoint: preset.authorization_endpoint,
    token_endpoint: preset.token_endpoint,
    revocation_endpoint: preset.revocation_endpoint,
    // A public client has nothing to prove itself with.
    client_auth: settings.client_secret === undefined ? undefined : preset.client_auth,
    ...settings,
    extra: {
      ...settings.extra,
      authorize: { ...preset.authorize, ...settings.extra?.authorize },
    },
  })
  const ways: Ways = {
    // None of them is known to heed the scope of a refresh, so one token serves all.
    narrows: false,
    ...(preset.issuer === undefined ? {} : { issuer: preset.issuer }),
    ...(preset.tooMany === undefined ? {} : { tooMany: preset.tooMany }),
  }
  return providerKind({
    settings: clientSettings,
    preset: true,
    recognised: preset.recognised,
    mailHosts: () => preset.hosts ?? {},
    page: 'others.md',

    services(scopes) {
      const known = Object.keys({ ...preset.scopes, ...scopes }).filter((each) => each !== 'login')
      const mail = known.filter((each) => each === 'smtp' || each === 'imap')
      return { known, usual: mail.length > 0 ? mail : known }
    },

    problems: (identity, settings) => problemsOf(identity, filledIn(settings)),

    create(identity, settings, surroundings) {
      const scopes = { ...preset.scopes, ...identity.scopes }
      return createOAuth2({ ...identity, scopes }, filledIn(settings), ways, surroundings)
    },
  })
}

/** A kind of account for each line of the table. */
export const presets: Readonly<Record<string, ProviderKind>> = Object.fromEntries(
  Object.entries(table).map(([name, preset]) => [name, presetKind(preset)]),
)
