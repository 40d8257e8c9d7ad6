/**
 * Microsoft's clouds as data: who signs people in, what a mail scope starts with, and where mail and Graph
 * answer. What changes there changes here, and in no other file.
 *
 * Sources: learn.microsoft.com/entra/identity-platform/authentication-national-cloud,
 * learn.microsoft.com/graph/deployments,
 * learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth,
 * learn.microsoft.com/microsoft-365/enterprise/microsoft-365-endpoints (each national cloud has a page).
 * Microsoft documents no mail scopes for China: what stands here is what other mail programs use.
 */
import type { MailHosts, Scopes } from './provider.ts'

/** What a scope of each resource starts with, without a slash at the end. */
export interface Resources {
  /** IMAP, POP and SMTP for a person. */
  readonly mail: string
  /** Exchange Web Services; and all mail protocols for an application. */
  readonly exchange: string
  readonly graph: string
}

export interface Cloud extends Resources {
  /** The host that signs in and issues tokens. */
  readonly login: string
  readonly hosts: MailHosts
}

export const clouds = {
  // Also the cloud of GCC, and of outlook.com with tenant = "consumers".
  global: {
    login: 'login.microsoftonline.com',
    mail: 'https://outlook.office.com',
    exchange: 'https://outlook.office365.com',
    graph: 'https://graph.microsoft.com',
    hosts: hosts('outlook.office365.com', 'smtp.office365.com'),
  },
  'us-gov': {
    login: 'login.microsoftonline.us',
    mail: 'https://outlook.office365.us',
    exchange: 'https://outlook.office365.us',
    graph: 'https://graph.microsoft.us',
    hosts: hosts('outlook.office365.us', 'smtp.office365.us'),
  },
  'us-dod': {
    login: 'login.microsoftonline.us',
    mail: 'https://outlook-dod.office365.us',
    exchange: 'https://outlook-dod.office365.us',
    graph: 'https://dod-graph.microsoft.us',
    hosts: hosts('outlook-dod.office365.us', 'outlook-dod.office365.us'),
  },
  china: {
    login: 'login.partner.microsoftonline.cn',
    mail: 'https://partner.outlook.cn',
    exchange: 'https://partner.outlook.cn',
    graph: 'https://microsoftgraph.chinacloudapi.cn',
    hosts: hosts('partner.outlook.cn', 'smtp.partner.outlook.cn'),
  },
} as const satisfies Readonly<Record<string, Cloud>>

export type CloudName = keyof typeof clouds

export const cloudNames = ['global', 'us-gov', 'us-dod', 'china'] as const satisfies CloudName[]

/** @param given what the file says of a cloud that this table does not know, or knows wrongly */
export function cloudOf(
  name: CloudName,
  given: Readonly<Partial<Record<'login' | keyof Resources, string | undefined>>> = {},
): Cloud {
  const known: Cloud = clouds[name]
  // A thousand accounts of one cloud share its row.
  if (Object.values(given).every((part) => part === undefined)) return known
  const resource = (part: keyof Resources) => (given[part] ?? known[part]).replace(/\/+$/, '')
  return {
    login: given.login ?? known.login,
    mail: resource('mail'),
    exchange: resource('exchange'),
    graph: resource('graph'),
    hosts: { ...known.hosts, graph: new URL(resource('graph')).host },
  }
}

/** The scopes of each service, and the resource of each, which is one. */
export interface Catalogue {
  readonly scopes: Scopes
  readonly resources: Readonly<Record<string, string>>
}

/** @param given what the file says; a service that it names is known, whatever it is */
export function catalogueOf(usual: Scopes, given: Scopes, { graph }: Resources): Catalogue {
  const scopes = { ...usual, ...given }
  const resources = Object.entries(scopes).map(([service, [first = '']]) => [
    service,
    resourceOf(first, graph),
  ])
  return { scopes, resources: Object.fromEntries(resources) as Catalogue['resources'] }
}

/** Of the clouds as they are in the table: shared by all accounts that say nothing else. */
const delegatedCatalogues = new Map<Cloud, Catalogue>(
  Object.values(clouds).map((cloud) => [cloud, catalogueOf(delegatedScopes(cloud), {}, cloud)]),
)

/** What a person can be asked to consent to. */
export function delegatedCatalogue(cloud: Cloud, given: Scopes): Catalogue {
  const shared = Object.keys(given).length === 0 ? delegatedCatalogues.get(cloud) : undefined
  return shared ?? catalogueOf(delegatedScopes(cloud), given, cloud)
}

/** What a person's consent is asked for, by service. */
export function delegatedScopes({ mail, exchange, graph }: Resources): Scopes {
  return {
    smtp: [`${mail}/SMTP.Send`],
    imap: [`${mail}/IMAP.AccessAsUser.All`],
    pop: [`${mail}/POP.AccessAsUser.All`],
    graph: [`${graph}/Mail.Send`, `${graph}/Mail.Send.Shared`, `${graph}/Mail.ReadWrite`],
    ews: [`${exchange}/EWS.AccessAsUser.All`],
  }
}

/** What an application asks for: all that an administrator has allowed it at the resource. */
export function applicationScopes({ exchange, graph }: Resources): Scopes {
  const mail = [`${exchange}/.default`]
  return { smtp: mail, imap: mail, pop: mail, ews: mail, graph: [`${graph}/.default`] }
}

/**
 * The resource of a scope. One token is for one resource, whatever scopes it has there.
 *
 * @param usual of a scope that names none: learn.microsoft.com/entra/identity-platform/scopes-oidc
 */
export function resourceOf(scope: string, usual: string): string {
  const slash = scope.lastIndexOf('/')
  return slash < 0 ? usual : scope.slice(0, slash).replace(/\/+$/, '')
}

function hosts(access: string, submission: string): MailHosts {
  return { smtp: `${submission}:587`, imap: `${access}:993`, pop: `${access}:995` }
}
