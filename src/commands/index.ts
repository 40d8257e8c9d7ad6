/** The list of commands, in the order of `--help`. */
import type { CommandLine } from '../command-line.ts'
import { defineAdd } from './add.ts'
import { defineAsk } from './ask.ts'
import { defineCheck } from './check.ts'
import { defineCompletion } from './completion.ts'
import { defineGitCredential } from './git-credential.ts'
import { defineInstallService } from './install-service.ts'
import { defineMove } from './move.ts'
import { defineSendmail } from './sendmail.ts'
import { defineServe } from './serve.ts'
import { defineSetup } from './setup.ts'
import { defineSignIn } from './sign-in.ts'
import { defineStatus } from './status.ts'
import { defineStore } from './store.ts'
import { defineTunnel } from './tunnel.ts'

export function defineCommands({ define, words }: CommandLine): void {
  defineServe(define)
  defineAdd(define)
  defineSignIn(define)
  defineStatus(define)
  defineAsk(define)
  defineCheck(define)
  defineSetup(define)
  defineTunnel(define)
  defineSendmail(define)
  defineGitCredential(define)
  defineStore(define)
  defineMove(define)
  defineInstallService(define)
  defineCompletion(define, words)
}
