/** Questions to a person at a terminal, or to whatever is on standard input. */
import { createInterface, type Interface } from 'node:readline'
import { BadRequest } from '../errors.ts'

/** @returns what is wrong with an answer, or undefined */
export type Judge = (answer: string) => Promise<string | undefined>

export interface Dialogue {
  /**
   * Asks until there is an answer, at a terminal until it is a good one.
   *
   * @param instead what to write on the command line where nobody answers
   * @rejects BadRequest when nobody does, or when what is no terminal answers badly
   */
  ask(question: string, instead: string, judge?: Judge): Promise<string>
  /** The same for what may be left out: undefined then, and where nothing had to be asked before. */
  offer(question: string, judge?: Judge): Promise<string | undefined>
  /** False where nobody answers, and where nothing had to be asked before. */
  agree(question: string): Promise<boolean>
  close(): void
}

/** Nothing is read before something is asked: what follows may want to read it. */
export function createDialogue(): Dialogue {
  let lines: AsyncIterator<string> | undefined
  let reader: Interface | undefined

  async function answerTo(question: string): Promise<string | undefined> {
    reader ??= createInterface({ input: process.stdin })
    lines ??= reader[Symbol.asyncIterator]()
    process.stderr.write(`${question}: `)
    const line = await lines.next()
    if (line.done === true) process.stderr.write('\n')
    return line.done === true ? undefined : line.value.trim()
  }

  /** A program that answers would have its next answer taken for this one. */
  async function isGood(answer: string, judge: Judge | undefined): Promise<boolean> {
    const wrong = await judge?.(answer)
    if (wrong === undefined) return true
    if (!process.stdin.isTTY) throw new BadRequest(wrong, { hint: 'nothing was written' })
    say(wrong)
    return false
  }

  return {
    async ask(question, instead, judge) {
      for (;;) {
        const answer = await answerTo(question)
        if (answer === undefined)
          throw new BadRequest(`no answer to: ${question}`, {
            hint: `nothing was written; give it on the command line: ${instead}`,
          })
        if (answer !== '' && (await isGood(answer, judge))) return answer
      }
    },
    async offer(question, judge) {
      if (reader === undefined) return undefined
      for (;;) {
        const answer = (await answerTo(`${question} (empty for none)`)) ?? ''
        if (answer === '') return undefined
        if (await isGood(answer, judge)) return answer
      }
    },
    agree: async (question) =>
      reader !== undefined && /^(?:y|yes|)$/i.test((await answerTo(`${question} [Y/n]`)) ?? 'n'),
    close: () => reader?.close(),
  }
}

/** A line for the person. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}
