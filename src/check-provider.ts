/** What `check` asks of each provider's host: whether it can be reached, and what time it is there. */
import { isLoopback } from './endpoint.ts'
import { finding, type Finding } from './findings.ts'
import type { Transport } from './transport.ts'

/** Google and Microsoft refuse assertions that are five minutes off. */
const clockProblemMs = 5 * 60_000
const clockWarningMs = 60_000

/**
 * @param authority the host, as {@link Provider.authority} has it
 * @param now the wall clock, epoch ms
 */
export async function checkProviderHost(
  authority: string,
  transport: Transport,
  now: () => number,
  signal: AbortSignal,
): Promise<Finding[]> {
  // What it says of TLS and time would be what we know ourselves.
  if (isLoopback(new URL(`https://${authority}`).hostname))
    return [finding('skipped', 'network', `${authority} is this machine`)]
  const seen = await transport.send({ method: 'GET', url: `https://${authority}/` }, signal)
  if (seen.kind === 'no-answer') {
    const code = seen.error.code ?? ''
    const why = /^(?:ENOTFOUND|EAI_AGAIN)$/.test(code)
      ? 'its name is not known here'
      : /CERT|SIGNATURE|ISSUER|SELF_SIGNED|ALTNAME/.test(code)
        ? 'its certificate is not to be trusted'
        : seen.error.message
    return [
      finding('problem', 'network', `${authority}: ${why}${code === '' ? '' : ` (${code})`}`, {
        code: 'unavailable',
        hint: /certificate/.test(why)
          ? 'a captive portal, a proxy that breaks TLS, or a wrong clock; for an authority of your own set NODE_EXTRA_CA_CERTS'
          : 'check the network, DNS and HTTPS_PROXY',
      }),
    ]
  }
  const reached = finding('ok', 'network', `${authority} answers over TLS`)
  const there = Date.parse(seen.headers.date ?? '')
  if (Number.isNaN(there)) return [reached]
  const offMs = Math.abs(now() - there)
  if (offMs < clockWarningMs) return [reached, finding('ok', 'clock', `agrees with ${authority}`)]
  const saw = `is ${Math.round(offMs / 60_000)} min ${now() > there ? 'ahead of' : 'behind'} ${authority}`
  const hint = 'set it: timedatectl set-ntp true'
  return [
    reached,
    offMs < clockProblemMs
      ? finding('warning', 'clock', saw, { hint })
      : finding('problem', 'clock', saw, { hint, code: 'unavailable' }),
  ]
}
