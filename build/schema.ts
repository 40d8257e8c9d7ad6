/**
 * Writes xoauthd.schema.json, by which editors complete and check the configuration file, from the
 * definitions that the daemon itself reads the file with. `--check` only says whether it is current.
 *
 * The one door to @valibot/to-json-schema.
 */
import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import {
  accountEntries,
  clientEntries,
  fileEntries,
  httpEntries,
  socketEntries,
} from '../src/config-schema.ts'
import { providers } from '../src/providers/index.ts'
import { aboutOf, choice, constant, described, table, type Entries } from '../src/schema.ts'

const target = fileURLToPath(new URL('../xoauthd.schema.json', import.meta.url))

/** The whole file, as JSON Schema. */
export function fileSchema(): JsonSchema {
  const { properties } = tableSchema(fileEntries)
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'The configuration of xoauthd',
    type: 'object',
    properties: {
      account: {
        description: 'the accounts: who signs in and how',
        type: 'array',
        minItems: 1,
        items: {
          oneOf: [...kindsBySettings()].map(([settings, names]) => accountSchema(names, settings)),
        },
      },
      client: {
        description: 'client registrations that several accounts share, by name',
        type: 'object',
        additionalProperties: tableSchema(clientEntries),
      },
      socket: {
        description: 'the sockets on which requests are answered',
        type: 'array',
        items: tableSchema(socketEntries),
      },
      http: {
        description: 'the authentication server over HTTP',
        ...tableSchema(httpEntries),
      },
      ...properties,
    },
    required: ['account'],
    additionalProperties: false,
  }
}

/** Kinds that have the very same keys, as presets have, are one form of account. */
function kindsBySettings(): Map<Entries, string[]> {
  const kinds = new Map<Entries, string[]>()
  for (const [name, { settings }] of Object.entries(providers))
    kinds.set(settings, [...(kinds.get(settings) ?? []), name])
  return kinds
}

/** An account may take from its client what it lacks itself. */
function accountSchema(names: readonly string[], settings: Entries): JsonSchema {
  const [name = ''] = names
  const about = aboutOf(accountEntries.provider)
  const provider = names.length > 1 ? choice(names, about) : described(constant(name), about)
  const { required = [], ...schema } = tableSchema({
    ...accountEntries,
    provider,
    ...settings,
  })
  const borrowed = required.filter((key) => Object.hasOwn(clientEntries, key))
  return {
    title: `provider = ${names.map((each) => `"${each}"`).join(', ')}`,
    ...schema,
    required: required.filter((key) => !borrowed.includes(key)),
    ...(borrowed.length > 0 ? { anyOf: [{ required: ['client'] }, { required: borrowed }] } : {}),
  }
}

function tableSchema(entries: Entries): JsonSchema {
  return toJsonSchema(table(entries), {
    typeMode: 'input',
    // What is checked beyond the shape of a value, editors leave to the daemon.
    errorMode: 'ignore',
  })
}

async function main(check: boolean): Promise<void> {
  const text = `${JSON.stringify(fileSchema(), null, 2)}\n`
  if (!check) {
    await writeFile(target, text)
    return
  }
  const current = await readFile(target, 'utf8').catch(() => undefined)
  if (current === text) return
  process.stderr.write('xoauthd.schema.json is not current; run: npm run schema\n')
  process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.includes('--check'))
