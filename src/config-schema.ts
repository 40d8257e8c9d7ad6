/**
 * The tables and keys of the configuration file: what each may hold, and the sentence that editors and
 * the manual show. Keys that belong to one provider stand in that provider's own file.
 */
import { levels } from './log.ts'
import { providers } from './providers/index.ts'
import {
  byService,
  choice,
  command,
  count,
  described,
  flag,
  hostPort,
  list,
  mode,
  nonEmptyList,
  notYet,
  optional,
  pattern,
  redirect,
  secret,
  service,
  table,
  text,
} from './schema.ts'

/** The keys of every `[[account]]`. */
export const accountEntries = {
  user: pattern('who signs in, or "*@domain" for any mailbox of a domain'),
  provider: text(`the kind of server that issues the tokens: ${Object.keys(providers).join(', ')}`),
  id: optional(text('the name of the account in status; the user unless set')),
  mailboxes: optional(
    list(
      pattern('an address, or "*@domain" for a whole domain'),
      'other mailboxes that this account may use: shared, delegated, aliases',
    ),
    [],
  ),
  services: optional(
    nonEmptyList(
      service('a service, e.g. "smtp"'),
      'what tokens are given out for, and what consent is asked for at sign-in',
    ),
  ),
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
      list(text('a scope'), 'the scopes of the service'),
      'OAuth scopes by service; "login" adds some to the sign-in alone',
    ),
    {},
  ),
  hosts: optional(
    described(
      table({
        smtp: optional(hostPort('the submission server')),
        imap: optional(hostPort('the IMAP server')),
        pop: optional(hostPort('the POP server')),
      }),
      'the mail servers of the account, as host:port',
    ),
    {},
  ),
  send: optional(choice(['smtp', 'gmail', 'graph'], 'how mail of this account is handed over')),
  max_mailboxes: optional(
    count(1, 'how many mailboxes of a wildcard have their tokens kept in memory'),
    100_000,
  ),
}

const onlyMicrosoft = 'belongs to Microsoft, which this version does not serve yet; remove it'

/** The keys of `[client.NAME]`: a registration that several accounts share. */
export const clientEntries = {
  client_id: optional(text('the client id of the registration')),
  client_secret: optional(secret('the secret of the registration')),
  redirect_uri: optional(redirect('the redirect URI as the registration has it')),
  certificate: notYet(onlyMicrosoft),
  tenant: notYet(onlyMicrosoft),
  cloud: notYet(onlyMicrosoft),
}

/** The keys of every `[[socket]]`. */
export const socketEntries = {
  path: optional(text('where the socket appears; only one socket may leave it out')),
  mode: optional(mode('its permissions, octal, in quotes, e.g. "0660"'), '0600'),
  group: optional(text('its group, by name or number, e.g. "Debian-exim"')),
  owner: optional(text('its owner, by name or number; the daemon must be root to give it away')),
  accounts: optional(
    nonEmptyList(
      pattern('an account or mailbox, or "*@domain"'),
      'whose tokens it gives out; all unless set, and required when others may open it',
    ),
  ),
  services: optional(
    nonEmptyList(
      service('a service, e.g. "smtp"'),
      'what it gives tokens out for; all unless set, and required when others may open it',
    ),
  ),
  protocol: optional(
    choice(
      ['line'],
      'what is spoken on it',
      'must be "line"; "socketmap" is not served by this version yet',
    ),
    'line',
  ),
  map: notYet('belongs to "socketmap", which this version does not serve yet; remove it'),
  control: optional(flag('whether it answers status, refresh and reload; only with mode "0600"')),
}

/** The tables of which there is one. */
export const fileEntries = {
  store: optional(
    described(
      table({
        path: optional(text('the folder of the grants')),
        key: optional(
          secret(
            'the age secret key of an encrypted store; the credential xoauthd-store-key unless set',
          ),
        ),
      }),
      'where sign-ins are kept',
    ),
    {},
  ),
  log: optional(
    described(
      table({
        level: optional(choice(levels, 'the least important line that is written'), 'info'),
        audit: optional(flag('whether each answer leaves a line'), true),
      }),
      'what is written to stderr',
    ),
    {},
  ),
  http: notYet('is not served by this version yet; remove the table'),
  notify: optional(
    described(
      table({
        command: optional(
          command('a program that is run when a person has to know; notify-send unless set'),
        ),
      }),
      'who is told when something needs a person',
    ),
    {},
  ),
}
