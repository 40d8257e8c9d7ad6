/**
 * Which kind of provider serves a mail address: by its domain, else by the hosts that take the domain's
 * mail. What each kind is recognised by stands in its own file.
 */
import { resolveMx } from 'node:dns/promises'
import { domainOf, foldCase, wildcardDomain } from './address.ts'
import { providers } from './providers/index.ts'

export interface Recognised {
  /** A name of the registry. */
  readonly provider: string
  /** What gave it away, in words. */
  readonly because: string
}

/** Long enough for a resolver that asks another one first. */
const resolveMs = 5_000

/**
 * @param user an address, or `*@domain`
 * @param lookUpMx the hosts that take the mail of a domain; empty when that cannot be known
 * @returns undefined when it is none of those that are known
 */
export async function recognise(
  user: string,
  lookUpMx: (domain: string) => Promise<readonly string[]> = mailHosts,
): Promise<Recognised | undefined> {
  const wholeDomain = wildcardDomain(user) !== undefined
  const domain = foldCase(wildcardDomain(user) ?? domainOf(user))
  const kinds = Object.entries(providers).flatMap(([provider, { recognised }]) =>
    recognised && (recognised.wholeDomains ?? false) === wholeDomain
      ? [{ provider, recognised }]
      : [],
  )
  const own = kinds.find(({ recognised }) => recognised.domains.includes(domain))
  if (own) return { provider: own.provider, because: `of the domain ${domain}` }
  for (const host of await lookUpMx(domain)) {
    const kind = kinds.find(({ recognised }) =>
      recognised.mx.some((suffix) => foldCase(`.${host}`).endsWith(`.${suffix}`)),
    )
    if (kind) return { provider: kind.provider, because: `${host} takes the mail of ${domain}` }
  }
  return undefined
}

async function mailHosts(domain: string): Promise<readonly string[]> {
  const late = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error('no answer')), resolveMs).unref()
  })
  try {
    const records = await Promise.race([resolveMx(domain), late])
    return records.sort((a, b) => a.priority - b.priority).map(({ exchange }) => exchange)
  } catch {
    return []
  }
}
