/** The registry of providers: adding one is its file and its line here. */
import { authServer } from './auth-server.ts'
import { command } from './command.ts'
import { google } from './google.ts'
import { googleServiceAccount } from './google-service-account.ts'
import { microsoft } from './microsoft.ts'
import { microsoftApp } from './microsoft-app.ts'
import { oauth2 } from './oauth2.ts'
import { presets } from './presets.ts'
import type { ProviderKind } from './provider.ts'

export const providers: Readonly<Record<string, ProviderKind>> = {
  google,
  'google-service-account': googleServiceAccount,
  microsoft,
  'microsoft-app': microsoftApp,
  oauth2,
  ...presets,
  command,
  'auth-server': authServer,
}
