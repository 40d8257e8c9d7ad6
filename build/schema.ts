/**
 * Writes xoauthd.schema.json, by which editors complete and check the configuration file, from the
 * definitions that the daemon itself reads the file with. `--check` only says whether it is current.
 *
 * The one door to @valibot/to-json-schema.
 */
import { toJsonSchema, type JsonSchema } from '@valibot/to-json-schema'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { accountEntries, clientEntries, fileEntries, socketEntries } from '../src/config-schema.ts'
import { providers } from '../src/providers/index.ts'
import type { ProviderKind } from '../src/providers/provider.ts'
import { aboutOf, constant, described, isServed, table, type Entries } from '../src/schema.ts'

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
        items: { oneOf: Object.entries(providers).map(([name, kind]) => accountSchema(name, kind)) },
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
      ...properties,
    },
    required: ['account'],
    additionalProperties: false,
  }
}

/** An account may take from its client what it lacks itself. */
function accountSchema(name: string, kind: ProviderKind): JsonSchema {
  const provider = described(constant(name), aboutOf(accountEntries.provider))
  const { required = [], ...schema } = tableSchema({
    ...accountEntries,
    provider,
    ...kind.settings,
  })
  const borrowed = required.filter((key) => Object.hasOwn(clientEntries, key))
  return {
    title: `provider = "${name}"`,
    ...schema,
    required: required.filter((key) => !borrowed.includes(key)),
    ...(borrowed.length > 0 ? { anyOf: [{ required: ['client'] }, { required: borrowed }] } : {}),
  }
}

function tableSchema(entries: Entries): JsonSchema {
  // What is checked beyond types, editors leave to the daemon.
  return toJsonSchema(table(servedOnly(entries)), {
    typeMode: 'input',
    errorMode: 'ignore',
    overrideSchema: ({ valibotSchema, jsonSchema }) => withoutUnserved(jsonSchema),
  })
}
