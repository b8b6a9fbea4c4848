import { createPublicKey, X509Certificate } from 'node:crypto'
import { type Algorithm, algorithmNames, algorithmsFor, isAlgorithm } from '../token/algorithms.js'
import { weaknessOf } from '../token/weak-keys.js'
import { claimPath, type Field, flag, text, texts, whole } from './field-kinds.js'
import { backchannelLogout } from './logout-field.js'
import { rightsRules } from './rights-field.js'
import { ticketClaims } from './ticket-claims-field.js'
import { InvalidValue, line, path, readFile } from './value-types.js'

/**
 * The fields of an entry of the issuers file: how each is parsed, and its part of the published
 * schema.
 */

/** A file with PEM for this field, read now so that a wrong file stops the start. */
const pemFile = (check: (pem: Buffer) => void, schema: object): Field<string> =>
  text(file => {
    const pem = readFile(path.parse(file))
    try {
      check(pem)
    } catch (error) {
      throw error instanceof InvalidValue
        ? error
        : new InvalidValue(`${file} is not a PEM file of the right kind`)
    }
    return file
  }, schema)

function algorithm(name: string): Algorithm {
  if (!isAlgorithm(name))
    throw new InvalidValue(`names ${JSON.stringify(name)}: use one or more of ${algorithmNames.join(', ')}`)
  return name
}

function issuerPattern(pattern: string): string {
  if (pattern.split('{tid}').length !== 2)
    throw new InvalidValue(
      'does not have {tid} once: write it where the tenant is, as https://login.microsoftonline.com/{tid}/v2.0',
    )
  return line.parse(pattern)
}

/** @throws InvalidValue for a file without a usable public key */
function checkPublicKey(pem: Buffer): void {
  const key = createPublicKey(pem)
  const weakness = weaknessOf(key)
  if (weakness !== undefined) throw new InvalidValue(`holds a key that cannot be used: ${weakness}`)
  if (algorithmsFor(key).length === 0)
    throw new InvalidValue('holds a key that cannot be used: its curve is not supported')
}

export const issuerFields = {
  issuer: text(line.parse, { description: 'The exact iss of its tokens' }),
  issuerPattern: text(issuerPattern, {
    description: 'The same with {tid} in place of the tenant, which is the claim tid of the token',
    pattern: '\\{tid\\}',
  }),
  jwksUrl: text(line.parse, { description: 'URL of its keys (a JWK set)', format: 'uri' }),
  discover: flag({
    description:
      'Find the keys through its metadata (OpenID Connect Discovery, RFC 8414), which must name the same issuer',
  }),
  secretFile: texts(path.parse, {
    description:
      'Files that each contain a secret shared with it, as text. All of them verify, so secrets can be rotated',
  }),
  publicKeyFile: texts(file => pemFile(checkPublicKey, {}).parse(file), {
    description: 'Files that each contain one of its public keys, as PEM',
  }),
  caFile: pemFile(pem => void new X509Certificate(pem), {
    description: 'CA certificates, as PEM, to trust for its server instead of those of the system',
  }),
  allowHttp: flag({ description: 'Fetch its keys without TLS, on a network that only you can write to' }),
  audiences: texts(line.parse, { description: 'Its tokens must name one of these as audience' }),
  audienceClaim: claimPath({
    description: 'The claim that names the audience',
    default: 'aud',
  }),
  algorithms: texts(
    algorithm,
    { description: 'The algorithms it may use; by default all that fit its keys' },
    { enum: algorithmNames },
  ),
  userClaim: claimPath({ description: 'The claim that names the user', default: 'sub' }),
  sessionClaim: claimPath({ description: 'The claim that names the login session', default: 'sid' }),
  skewSeconds: whole(0, 300, {
    description: 'How far its clock may be off; by default TICKETGATE_CLOCK_SKEW_SECONDS',
  }),
  maxTtlSeconds: whole(1, 31_536_000, {
    description: 'The longest lifetime of its tokens; by default TICKETGATE_TOKEN_MAX_TTL_SECONDS',
  }),
  requireTyp: text(line.parse, {
    description: 'Required as typ, such as at+jwt. By default JWT, at+jwt or none',
  }),
  ticketClaims: ticketClaims({
    description:
      'Claims that its tickets carry to the application, or from /verify to the upstream server; 256 bytes in all',
  }),
  backchannelLogout: backchannelLogout({
    description:
      'Whether its logout tokens end sockets (OpenID Connect Back-Channel Logout): true ends those of the session that sid names, user ends all of the user',
    default: false,
  }),
  logoutAudiences: texts(line.parse, {
    description: 'Its logout tokens must name one of these, its client ids, as aud; by default audiences',
  }),
  rights: rightsRules({
    description:
      'Which claims give which rights: all rules that match are combined. Without it, TICKETGATE_DEFAULT_PUBLISH and TICKETGATE_DEFAULT_SUBSCRIBE do',
  }),
} as const satisfies Readonly<Record<string, Field<unknown>>>

export type IssuerFieldName = keyof typeof issuerFields

/** An entry as written, each field parsed by itself. */
export type IssuerEntry = { readonly [F in IssuerFieldName]?: ReturnType<(typeof issuerFields)[F]['parse']> }

/** The published JSON Schema of the file. */
export const issuersSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'The issuers file of ticketgate',
  anyOf: [
    { $ref: '#/$defs/issuers' },
    {
      type: 'object',
      required: ['issuers'],
      additionalProperties: false,
      properties: { issuers: { $ref: '#/$defs/issuers' } },
    },
  ],
  $defs: {
    issuers: { type: 'array', minItems: 1, maxItems: 64, items: { $ref: '#/$defs/issuer' } },
    issuer: {
      type: 'object',
      additionalProperties: false,
      properties: Object.fromEntries(
        Object.entries(issuerFields).map(([name, { schema }]) => [name, schema]),
      ),
      allOf: [
        { oneOf: [{ required: ['issuer'] }, { required: ['issuerPattern'] }] },
        {
          oneOf: [
            { required: ['jwksUrl'] },
            { required: ['discover'] },
            { required: ['secretFile'] },
            { required: ['publicKeyFile'] },
          ],
        },
      ],
    },
  },
} as const
