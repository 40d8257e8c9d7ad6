/** The mail agents that xoauthd has a tried configuration for: adding one is its template and its line here. */
import type { Agent } from './agent.ts'
import { curl, nodemailer, python } from './programs.ts'
import { aerc, mutt, neomutt } from './readers-and-senders.ts'
import { getmail, mbsync, mpop, offlineimap } from './readers.ts'
import { emacs, msmtp, sNail } from './senders.ts'
import { exim, postfix, postfixPipe } from './servers.ts'
import { fetchmail, git } from './through-xoauthd.ts'

export const agents: readonly Agent[] = [
  exim,
  postfix,
  postfixPipe,
  msmtp,
  sNail,
  emacs,
  git,
  mpop,
  mbsync,
  getmail,
  offlineimap,
  fetchmail,
  neomutt,
  mutt,
  aerc,
  curl,
  python,
  nodemailer,
]
