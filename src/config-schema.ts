/**
 * The tables and keys of the configuration file: what each may hold, and the sentence that editors and
 * the manual show. Keys that belong to one provider stand in that provider's own file.
 */
import { levels } from './log.ts'
import { providers } from './providers/index.ts'
import { cloudNames } from './providers/microsoft-clouds.ts'
import {
  address,
  byHost,
  byService,
  choice,
  command,
  count,
  day,
  described,
  flag,
  hostPort,
  list,
  loginName,
  mode,
  nonEmptyList,
  optional,
  pattern,
  redirect,
  secret,
  service,
  table,
  tenant,
  text,
  urlPath,
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
        smtp: optional(hostPort('the submission server', 'smtp.example.org:465')),
        imap: optional(hostPort('the IMAP server', 'imap.example.org:993')),
        pop: optional(hostPort('the POP server', 'pop.example.org:995')),
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

/** The keys of `[client.NAME]`: a registration that several accounts share. */
export const clientEntries = {
  client_id: optional(text('the client id of the registration')),
  client_secret: optional(secret('the secret of the registration')),
  redirect_uri: optional(redirect('the redirect URI as the registration has it')),
  client_secret_expires: optional(day('the day the secret ends, for a warning 30 days ahead')),
  certificate: optional(secret('a certificate and its private key (PEM); Microsoft alone')),
  tenant: optional(tenant("the tenant's ID or domain; Microsoft alone")),
  cloud: optional(choice(cloudNames, "Microsoft's cloud that the tenant is in")),
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
    choice(['line', 'socketmap'], 'what is spoken on it; "socketmap" is for postfix'),
    'line',
  ),
  map: optional(
    byHost(
      address('the mailbox whose token it gets'),
      'with socketmap: the mailbox for each host that postfix sends to, where it does not ask by sender',
    ),
  ),
  control: optional(flag('whether it answers status, refresh and reload; only with mode "0600"')),
}

/** The keys of `[http]`. */
export const httpEntries = {
  listen: text('where it listens: host:port, or the path of a UNIX socket'),
  mode: optional(mode('the permissions of the UNIX socket, octal, in quotes; "0600" unless set')),
  group: optional(text('the group of the UNIX socket, by name or number')),
  path: optional(urlPath('the only URL path that is answered; any unless set')),
  user: optional(loginName('the user name that requests must bring; not needed on a UNIX socket')),
  password: optional(secret('the password that requests must bring')),
  allow: optional(
    nonEmptyList(
      text('an address or a block, e.g. "10.0.0.0/8"'),
      'the networks that may ask; whoever can reach it unless set',
    ),
  ),
  hosts: optional(
    list(text('a host name'), 'names in URLs by which it is reached, beside those of loopback'),
    [],
  ),
  accounts: optional(
    nonEmptyList(
      pattern('an account or mailbox, or "*@domain"'),
      'whose tokens it gives out; all unless set',
    ),
  ),
  services: optional(
    nonEmptyList(service('a service, e.g. "smtp"'), 'what it gives tokens out for; all unless set'),
  ),
  cert: optional(secret('the certificate for TLS, with its chain: a PEM file')),
  key: optional(secret("the certificate's key: a PEM file")),
}

/** The tables of which there is one. */
export const fileEntries = {
  store: optional(
    described(
      table({
        path: optional(text('the folder of the grants; another one takes a restart')),
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
