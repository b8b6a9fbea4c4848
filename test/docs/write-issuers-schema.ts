/**
 * Writes the JSON Schema of the issuers file: `npx tsx test/docs/write-issuers-schema.ts`, after a
 * change of its fields.
 */
import { writeFileSync } from 'node:fs'
import { issuersSchema } from '../../src/config/issuer-fields.js'

writeFileSync(
  new URL('../../docs/issuers.schema.json', import.meta.url),
  `${JSON.stringify(issuersSchema, undefined, 2)}\n`,
)
