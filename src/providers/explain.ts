/**
 * Finds the explanation of what a server said, and writes into it what was sent.
 *
 * Promises that it only ever adds words. The class of a failure is settled before, by the standard error
 * code alone: Microsoft says that programs must not depend on its AADSTS numbers, so they choose a
 * sentence here and nothing else.
 */
import { explanations, type Explanation, type Row } from './explanations.ts'

/** What a server said, as far as it tells what is wrong. */
export interface Said {
  readonly error: string
  /** `suberror` at Microsoft, `error_subtype` at Google. */
  readonly subtype?: string | undefined
  readonly description?: string | undefined
  /** Microsoft's numbers, where they do not stand in the description. */
  readonly numbers?: readonly number[]
}

/** What was sent, as far as an explanation may repeat it. */
export interface Sent {
  readonly host?: string | undefined
  readonly client?: string | undefined
  readonly tenant?: string | undefined
  readonly redirect?: string | undefined
  readonly scope?: string | undefined
}

/** @returns what the answer means and what to do; undefined when no row of the table fits */
export function explain(said: Said, sent: Sent): Explanation | undefined {
  const { error, subtype = '', description = '' } = said
  const numbers = [...(said.numbers ?? []), ...numbersIn(description)]
  const fits = (row: Row, by: 'special' | 'general'): boolean =>
    by === 'special'
      ? row.numbers?.some((number) => numbers.includes(number)) === true ||
        row.subtypes?.includes(subtype) === true ||
        row.says?.test(description) === true
      : row.errors?.includes(error) === true
  // A number or a sentence says more than one of the few error codes that everything is squeezed into.
  const row =
    explanations.find((one) => fits(one, 'special')) ??
    explanations.find((one) => fits(one, 'general'))
  if (!row) return undefined
  const { because, sentence, next } = row
  return { because, sentence: fill(sentence, sent), next: fill(next, sent) }
}

function numbersIn(description: string): number[] {
  return [...description.matchAll(/\bAADSTS(\d{4,8})\b/g)].map(([, digits]) => Number(digits))
}

/** What stands in for what is not known. */
const unknown: Readonly<Record<keyof Sent, string>> = {
  host: 'login.microsoftonline.com',
  client: 'of the account',
  tenant: 'organizations',
  redirect: 'the redirect_uri of the address that was opened',
  scope: 'those of the account',
}

function fill(text: string, sent: Sent): string {
  return Object.entries(unknown).reduce(
    (rest, [name, otherwise]) =>
      rest.replaceAll(`{${name}}`, () => sent[name as keyof Sent] ?? otherwise),
    text,
  )
}
