/**
 * Writes the JSON Schema of the issuers file. After a change of its fields, run
 * `npx --no-install tsx test/docs/write-issuers-schema.ts`.
 */
import { writeFileSync } from 'node:fs'
import { issuersSchema } from '../../src/config/issuer-fields.js'

writeFileSync(
  new URL('../../docs/issuers.schema.json', import.meta.url),
  `${JSON.stringify(issuersSchema, undefined, 2)}\n`,
)
