/**
 * The kinds of value that the configuration file is made of, each with its check and the sentence that
 * a person reads when it fails. The JSON Schema for editors is generated from the same definitions.
 *
 * The one door to valibot.
 */
import * as v from 'valibot'
import { isAddress, wildcardDomain } from './address.ts'
import { isLoopbackHostPort, isSafeEndpoint, parseHostPort } from './endpoint.ts'
import type { Secret } from './secret.ts'

export type Entries = v.ObjectEntries
export type Output<E extends Entries> = v.InferOutput<v.StrictObjectSchema<E, undefined>>
export type Schema = v.GenericSchema
export type Issue = v.BaseIssue<unknown>

/** An object that has no keys but these. */
export const table = v.strictObject
export const optional = v.optional
export const parse = v.safeParse
export const constant = v.literal
export const aboutOf = (schema: Schema): string => v.getDescription(unwrapped(schema)) ?? ''
export const isIssueOfUnknownKey = (issue: Issue): boolean =>
  issue.type === 'strict_object' && issue.expected === 'never'
export const isRequired = (schema: Schema): boolean => schema.type !== 'optional'

/** The parts of a schema that others can stand in. */
interface Parts {
  /** Of a table. */
  readonly entries?: Entries
  /** Of a list. */
  readonly item?: Schema
  /** Of what has keys of any name. */
  readonly value?: Schema
}

/** @returns the schema under what makes it optional */
export function unwrapped(schema: Schema & Parts & { readonly wrapped?: Schema }): Schema & Parts {
  return schema.wrapped === undefined ? schema : unwrapped(schema.wrapped)
}

/** Gives a table its sentence. */
export const described = <S extends Schema>(schema: S, about: string) =>
  v.pipe(schema, v.description(about))

export const list = <S extends Schema>(item: S, about: string) => described(v.array(item), about)

/** A list that would switch everything off if it were empty. */
export const nonEmptyList = <S extends Schema>(item: S, about: string) =>
  v.pipe(
    v.array(item),
    v.nonEmpty('is empty, which leaves nothing; name at least one, or remove it'),
    v.description(about),
  )

/** One word or line; `about` is what an editor shows. */
export const text = (about: string) => described(v.pipe(v.string(), v.nonEmpty('is empty')), about)

/** A text of which a rule holds; `message` says what is wrong with another. */
const checkedText = (about: string, holds: (value: string) => boolean, message: string) =>
  v.pipe(v.string(), v.check(holds, message), v.description(about))

/** A text of a form, which editors check as well. */
const textLike = (about: string, form: RegExp, message: string) =>
  v.pipe(v.string(), v.regex(form, message), v.description(about))

/** `{ name = "value", … }`. */
export const texts = (about: string) => described(v.record(v.string(), v.string()), about)

export const flag = (about: string) => v.pipe(v.boolean(), v.description(about))

export const choice = <const Options extends readonly string[]>(
  options: Options,
  about: string,
  message = `must be one of ${options.map((option) => `"${option}"`).join(', ')}`,
) => v.pipe(v.picklist(options, message), v.description(about))

export const count = (least: number, about: string) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(least, `must be at least ${least}`),
    v.description(about),
  )

/** `me@example.org` or `*@example.org`. */
export const pattern = (about: string) =>
  checkedText(
    about,
    (value) => isAddress(value) || wildcardDomain(value) !== undefined,
    'is no mail address; write "name@domain", or "*@domain" for a whole domain',
  )

/** One mailbox, `me@example.org`. */
export const address = (about: string) =>
  checkedText(about, isAddress, 'is no mail address; write "name@domain"')

/** Something by host: `{ "smtp.example.org" = … }`, also as postfix writes a next hop: `[host]:port`. */
export const byHost = <Value extends v.GenericSchema>(value: Value, about: string) =>
  v.pipe(
    v.record(
      v.pipe(
        v.string(),
        v.regex(
          /^(?:\[[^\s[\]]+\]|[^\s[\]@]+)(?::\d{1,5})?$/,
          'is no host; write e.g. "smtp.example.org", or "[smtp.example.org]:587"',
        ),
      ),
      value,
    ),
    v.description(about),
  )

/** A path of a URL, as a request has it. */
export const urlPath = (about: string) =>
  v.pipe(
    textLike(about, /^\/[!-~]*$/, 'must begin with "/" and be written as in a URL'),
    v.regex(/^[^?#]*$/, 'has a query; write the path alone, e.g. "/authentication"'),
  )

/** The user of Basic authentication (RFC 7617), which ends at a colon. */
export const loginName = (about: string) =>
  textLike(about, /^[^:\x00-\x1f\x7f]+$/, 'must be a name without a colon')

/** What a control socket answers before it looks for a service of that name. */
const controlWords = ['status', 'refresh', 'reload']

/** The name of a service, e.g. `smtp`. */
export const service = (about: string) =>
  v.pipe(
    textLike(
      about,
      /^[a-z0-9][a-z0-9_-]{0,31}$/,
      'is no service name; write it in lower case, e.g. "smtp"',
    ),
    v.check(
      (value) => !controlWords.includes(value),
      'is a word of the control socket; give the service another name',
    ),
  )

/** Something by service: `{ smtp = …, imap = … }`. */
export const byService = <Value extends Schema>(value: Value, about: string) =>
  described(v.record(service('a service'), value), about)

/** `host:port`, the host possibly an IPv6 address in brackets. */
export const hostPort = (about: string, example: string) =>
  checkedText(
    about,
    (value) => parseHostPort(value) !== undefined,
    `must be "host:port", e.g. "${example}"`,
  )

/** {@link hostPort} where nobody but this very machine can connect. */
export const loopbackHostPort = (about: string) =>
  checkedText(
    about,
    isLoopbackHostPort,
    'must be "host:port" on this very machine: localhost, 127.x.x.x or [::1], e.g. "127.0.0.1:8025"',
  )

/** A server's address: https, or plain http where it is this very machine. */
export const endpoint = (about: string) =>
  checkedText(
    about,
    isSafeEndpoint,
    'must be an https:// URL (http:// only for 127.0.0.1, [::1] and localhost)',
  )

/** Where the browser is sent back to: any web page, since a registration may name one that we cannot hear. */
export const redirect = (about: string) =>
  checkedText(
    about,
    (value) => /^https?:\/\//i.test(value) && URL.canParse(value) && new URL(value).hash === '',
    'must be an http:// or https:// URL without a fragment, as the client registration has it',
  )

/** Octal, in quotes, since TOML's own 0o660 would be easy to write as 660. */
export const mode = (about: string) =>
  v.pipe(
    textLike(about, /^0?[0-7]{3}$/, 'must be an octal mode in quotes, e.g. "0660"'),
    v.transform((value) => Number.parseInt(value, 8)),
  )

/** A host name, possibly with a port: no more of an address than that. */
export const hostName = (about: string) =>
  checkedText(
    about,
    (value) => URL.canParse(`https://${value}`) && new URL(`https://${value}`).host === value,
    'must be a host name in lower case, without https:// and without a path',
  )

/** Of Microsoft: an ID, a domain, or a word that stands for many. */
export const tenant = (about: string) =>
  textLike(
    about,
    /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/,
    'is no tenant; write its ID or a domain of it, e.g. "corp.onmicrosoft.com"',
  )

const dayRule = 'must be a day, e.g. 2027-01-31'

/** A day, as TOML has it or in quotes; read as the epoch ms of its beginning, UTC. */
export const day = (about: string) =>
  v.pipe(
    v.union([v.date(), v.string()], dayRule),
    v.check((value) => Number.isFinite(dayMs(value)), dayRule),
    v.description(about),
    v.transform(dayMs),
  )

function dayMs(value: Date | string): number {
  if (value instanceof Date) return value.getTime()
  return /^\d{4}-\d{2}-\d{2}$/.test(value) ? Date.parse(value) : NaN
}

/** A program and its arguments; no shell reads it. */
export const command = (about: string) =>
  v.pipe(
    v.array(v.string()),
    v.nonEmpty('is empty; write the program and its arguments, e.g. ["pass", "show", "mail"]'),
    v.description(about),
  )

const secretForms =
  'must be a string, or one of { file = "…" }, { env = "…" }, { command = ["…"] }, { credential = "…" }'

/** Names and arguments are shown in messages, and what is put there by mistake would be. */
function isKeyItself(text: string): boolean {
  return /AGE-SECRET-KEY-1|-----BEGIN/.test(text)
}

/** A string, or where to find it. */
export const secret = (about: string) =>
  v.pipe(
    v.union(
      [
        v.pipe(v.string(), v.nonEmpty('is empty')),
        v.strictObject({ file: text('a file that holds it') }),
        v.strictObject({ env: text('an environment variable of the daemon') }),
        v.strictObject({ command: command('a program that prints it') }),
        v.strictObject({ credential: text("a file in systemd's $CREDENTIALS_DIRECTORY") }),
      ],
      secretForms,
    ),
    v.check(
      (form) => typeof form === 'string' || !Object.values(form).flat().some(isKeyItself),
      'has the key itself where its place belongs; write the key into a file of mode 0600, and here the name of that file',
    ),
    v.description(about),
    v.transform((form): Secret => {
      if (typeof form === 'string') return { kind: 'inline', value: form }
      if ('file' in form) return { kind: 'file', path: form.file }
      if ('env' in form) return { kind: 'env', variable: form.env }
      if ('command' in form) return { kind: 'command', command: form.command }
      return { kind: 'credential', name: form.credential }
    }),
  )
