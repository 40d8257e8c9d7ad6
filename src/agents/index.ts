/** The mail agents that xoauthd has a tried configuration for: adding one is its template and its line here. */
import type { Agent } from './agent.ts'
import { curl, nodemailer, python } from './programs.ts'
import { aerc, mutt, neomutt } from './readers-and-senders.ts'
import { getmail, mbsync, mpop, offlineimap } from './readers.ts'
import { exim, msmtp, sNail } from './senders.ts'

export const agents: readonly Agent[] = [
  exim,
  msmtp,
  sNail,
  mpop,
  mbsync,
  getmail,
  offlineimap,
  neomutt,
  mutt,
  aerc,
  curl,
  python,
  nodemailer,
]
