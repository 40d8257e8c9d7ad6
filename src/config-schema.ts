/**
 * The tables and keys of the configuration file: what each may hold, and the sentence that editors and
 * the manual show. Keys that belong to one provider stand in that provider's own file.
 */
import { levels } from './log.ts'
import type { ProviderKind } from './providers/provider.ts'
import {
  byService,
  choice,
  command,
  count,
  flag,
  hostPort,
  list,
  mode,
  optional,
  pattern,
  redirect,
  secret,
  service,
  table,
  text,
  texts,
} from './schema.ts'

/** The keys of every `[[account]]`. */
export const accountEntries = {
  user: pattern('who signs in, or "*@domain" for any mailbox of a domain'),
  provider: text('the kind of server that issues the tokens'),
  id: optional(text('the name of the account for HTTP and status; the user unless set')),
  mailboxes: optional(list(pattern('a mailbox')), []),
  services: optional(list(service('a service'))),
  login_as: optional(
    byService(
      choice(['mailbox', 'person'], 'whose name goes into the string'),
      'by service, whether the mailbox or the person who signed in is named in the string',
    ),
    {},
  ),
  client: optional(text('the name of a [client.NAME] table that this account takes its keys from')),
  scopes: optional(
    byService(
      list(text('a scope')),
      'OAuth scopes by service; "login" adds some to the sign-in alone',
    ),
    {},
  ),
  hosts: optional(
    table({
      smtp: optional(hostPort('the submission server')),
      imap: optional(hostPort('the IMAP server')),
      pop: optional(hostPort('the POP server')),
    }),
    {},
  ),
  send: optional(choice(['smtp', 'gmail', 'graph'], 'how xoauthd sendmail hands mail over')),
  max_mailboxes: optional(
    count(1, 'how many mailboxes of a wildcard have their tokens kept in memory'),
    100_000,
  ),
}

/** The keys of `[client.NAME]`: a registration that several accounts share. */
export const clientEntries = {
  client_id: optional(text('the client id of the registration')),
  client_secret: optional(secret('the secret of the registration')),
  certificate: optional(secret('certificate and private key, PEM')),
  tenant: optional(text('the Microsoft tenant')),
  cloud: optional(choice(['global', 'us-gov', 'us-dod', 'china'], 'the Microsoft cloud')),
  redirect_uri: optional(redirect('the redirect URI as the registration has it')),
}

const socketEntries = {
  path: optional(text('where the socket appears')),
  mode: optional(mode('its mode, e.g. "0660"'), '0600'),
  group: optional(text('its group, e.g. "Debian-exim"')),
  owner: optional(text('its owner')),
  accounts: optional(list(pattern('an account or mailbox'))),
  services: optional(list(service('a service'))),
  protocol: optional(
    choice(['line', 'socketmap'], 'the protocol: ours, or postfix socketmap'),
    'line',
  ),
  map: optional(texts('for socketmap: which mailbox a host stands for')),
  control: optional(flag('whether STATUS, REFRESH and RELOAD are answered; only with mode "0600"')),
}

const httpEntries = {
  listen: text('host:port, or the path of a UNIX socket'),
  mode: optional(mode('the mode of a UNIX socket'), '0600'),
  group: optional(text('the group of a UNIX socket')),
  path: optional(text('the only path that is answered; any unless set')),
  user: optional(text('the user name of the Basic credentials')),
  password: optional(secret('the password of the Basic credentials')),
  allow: optional(list(text('a network, e.g. "10.0.0.0/8"'))),
  hosts: optional(list(text('a Host header')), []),
  accounts: optional(list(pattern('an account or mailbox'))),
  services: optional(list(service('a service'))),
  cert: optional(secret('the certificate chain, PEM')),
  key: optional(secret('the private key of the certificate, PEM')),
}

/** The tables beside `[[account]]`. */
export const fileEntries = {
  socket: optional(list(table(socketEntries)), []),
  http: optional(table(httpEntries)),
  store: optional(
    table({
      path: optional(text('the folder of the grants')),
      key: optional(secret('the age identity that opens an encrypted store')),
    }),
    {},
  ),
  notify: optional(table({ command: command('run when somebody has to do something') })),
  log: optional(
    table({
      level: optional(choice(levels, 'the least important line that is written'), 'info'),
      audit: optional(flag('whether each answer leaves a line'), true),
    }),
    {},
  ),
}

/** All keys of an account of one kind. */
export const accountTable = (kind: ProviderKind) => table({ ...accountEntries, ...kind.settings })

export const clientTable = table(clientEntries)
export const socketTable = table(socketEntries)
