/**
 * A program that prints a token: `gcloud auth print-access-token` and its like.
 *
 * Promises that the program is run as it stands, without a shell, and that nothing it prints is repeated
 * anywhere but as the token. There is no grant, and nothing on disk: who signs in, and how, is the
 * program's business.
 */
import { Misconfigured, Unavailable } from '../errors.ts'
import type { Ran } from '../run-command.ts'
import { command as commandSetting } from '../schema.ts'
import { readPlainToken } from './plain-token.ts'
import { anyMailService, providerKind, type Token } from './provider.ts'

export const command = providerKind({
  page: 'others.md',
  settings: {
    command: commandSetting('a program that prints a token, or JSON with access_token'),
  },

  services: anyMailService,

  create(_identity, settings, { runCommand }) {
    const program = `the command ${JSON.stringify(settings.command[0])}`
    return {
      authority: program,
      authorityIsProgram: true,
      // Another program may print another one's tokens.
      binding: `command ${JSON.stringify(settings.command)}`,
      usesGrant: false,
      // It is told both, and may print another token for each.
      tokenKey: ({ mailbox, service }) => `${mailbox} ${service}`,

      // Whether it is there shows when it is run, and it may ask a network then.
      async check() {},

      async refresh(_grant, { mailbox, service }, nowMs, signal) {
        const env = { XOAUTHD_MAILBOX: mailbox, XOAUTHD_SERVICE: service }
        const ran = await runCommand(settings.command, { env, signal })
        return { token: readToken(printedBy(ran, program), program, nowMs) }
      },
    }
  },
})

const byHand = 'run it by hand as the user of xoauthd'

/** What one program cannot do says nothing of its other mailboxes, so no host is to blame. */
function printedBy(ran: Ran, program: string): string {
  switch (ran.kind) {
    case 'printed':
      return ran.text.trim()
    case 'late':
      throw new Unavailable(`${program} printed no token within ${ran.afterMs / 1000} s`, {
        hint: `${byHand}; it may be waiting for somebody to answer`,
      })
    case 'failed':
      // Without a network, or until somebody signs in to it, it fails in the same way: it is tried again.
      throw new Unavailable(`${program} ${ran.why}`, {
        hint: `${byHand}; what it writes to stderr is not kept`,
      })
    case 'not-started':
      throw new Misconfigured(`${program} ${ran.why}`, {
        hint: `${byHand}, then run: xoauthd reload`,
      })
  }
}

function readToken(text: string, program: string, nowMs: number): Token {
  if (!text.startsWith('{')) return readPlainToken({ value: text, nowMs, from: program })
  let json: Partial<Record<string, unknown>>
  try {
    json = JSON.parse(text) as Partial<Record<string, unknown>>
  } catch {
    throw new Unavailable(`${program} printed something that only begins like JSON`, {
      hint: byHand,
    })
  }
  const said = json['expires_in'] ?? undefined
  const expiresAtMs = said === undefined ? undefined : nowMs + Number(said) * 1000
  return readPlainToken({ value: json['access_token'], expiresAtMs, nowMs, from: program })
}
