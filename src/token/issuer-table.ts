import type { Payload } from './claim-path.js'
import { issuerRefusal } from './claims.js'
import type { TrustedIssuer } from './issuer.js'
import { type IssuerName, isNamed } from './issuer-name.js'
import type { JwsHeader } from './jws.js'
import { refuse, type TokenRefusal } from './refusal.js'
import type { IssuerChooser } from './verifier.js'

/** An issuer and its name in tokens. */
export interface NamedIssuer {
  readonly name: IssuerName
  readonly issuer: TrustedIssuer
}

/** The issuer that holds the token secret, and the `iss` of its tokens, if any. */
export interface OwnIssuer {
  readonly name: string | undefined
  readonly issuerOf: (header: JwsHeader) => TrustedIssuer
}

/**
 * Chooses an issuer by `iss`. A token is verified by the issuer that it names and no other, so the
 * keys of one issuer never verify tokens of another.
 */
export function chooseByName(issuers: readonly NamedIssuer[], own: OwnIssuer | undefined): IssuerChooser {
  const exact = new Map<string, TrustedIssuer>()
  for (const { name, issuer } of issuers) if ('exactly' in name) exact.set(name.exactly, issuer)
  const patterns = issuers.filter(({ name }) => 'pattern' in name)

  const find = (payload: Payload): TrustedIssuer | undefined =>
    (typeof payload.iss === 'string' ? exact.get(payload.iss) : undefined) ??
    patterns.find(({ name }) => isNamed(payload, name))?.issuer

  return (header, readPayload): TrustedIssuer | TokenRefusal => {
    const payload = readPayload()
    if (payload === undefined) return refuse('malformed')
    const found = find(payload)
    if (found !== undefined) return found
    if (own !== undefined && payload.iss === own.name) return own.issuerOf(header)
    const refusal = issuerRefusal(
      payload.iss,
      issuers.map(({ name }) => name),
    )
    return { ...refusal, isUnsigned: true }
  }
}
