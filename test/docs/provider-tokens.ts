import type { Json } from '../support/http.js'
import { nowSeconds } from '../support/tokens.js'

/**
 * Tokens as providers document them, for the entries in docs/providers.md.
 */
export interface ProviderTokens {
  /** The heading of its entry. */
  readonly heading: string
  readonly algorithm: 'RS256' | 'ES256' | 'HS256'
  /** Header parameters besides `alg` and `kid`. */
  readonly header: Json
  readonly claims: Json
  /** Where the provider publishes its keys. Undefined for a shared secret. */
  readonly jwksUrl?: string
  /** The user that the gate reads from the token. */
  readonly user: string
  readonly session?: string
  /** Channels on which the token permits to publish. */
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
  /** Channels on which it permits neither. */
  readonly neither: readonly string[]
  /** Another token of the provider, which must be refused. */
  readonly refused: {
    readonly name: string
    readonly changes: Json
    readonly code: 'token_invalid' | 'channel_forbidden'
    readonly detail: RegExp
  }
}

const now = nowSeconds()
const jwt = { typ: 'JWT' }
const hour = { iat: now, exp: now + 3600 }
const tenant = '72f988bf-86f1-41af-91ab-2d7cd011db47'
const otherTenant = '0f7a3e5c-5a0c-4f65-9f0e-3a4a1d2c9b11'
const api = '6731de76-14a6-49ae-97bc-6eba6914391e'
const oid = '690222be-ff1a-4d56-abd1-7e4f7d38e474'
const uuid = 'b3c1f2d4-5e6f-4a7b-8c9d-0e1f2a3b4c5d'

const keycloak: ProviderTokens = {
  heading: 'Keycloak',
  algorithm: 'RS256',
  header: jwt,
  jwksUrl: 'https://sso.example.com/realms/shop/protocol/openid-connect/certs',
  claims: {
    exp: now + 300,
    iat: now,
    auth_time: now - 60,
    jti: 'onrtac:0f2b7a35-93a9-4f0c-a3e4-3a5a1b1c9c11',
    iss: 'https://sso.example.com/realms/shop',
    aud: ['ticketgate', 'account'],
    sub: uuid,
    typ: 'Bearer',
    azp: 'web',
    sid: '9c6b7a1e-2d3f-4e5a-8b9c-0d1e2f3a4b5c',
    acr: '1',
    'allowed-origins': ['https://app.example.com'],
    // A user with many roles: the token is larger than 9 KB.
    realm_access: {
      roles: [
        'offline_access',
        'trader',
        ...Array.from({ length: 250 }, (_, n) => `department-${n}-of-the-shop`),
      ],
    },
    resource_access: {
      web: { roles: ['support'] },
      account: { roles: ['manage-account', 'manage-account-links', 'view-profile'] },
    },
    scope: 'openid profile email',
    email_verified: true,
    name: 'Maggie Smith',
    preferred_username: 'maggie',
    email: 'maggie@example.com',
  },
  user: uuid,
  session: '9c6b7a1e-2d3f-4e5a-8b9c-0d1e2f3a4b5c',
  publish: [`orders.${uuid}`],
  subscribe: [`orders.${uuid}`, 'prices.gold', 'orders.of.others'],
  neither: ['prices', 'lobby'],
  refused: {
    name: 'without the audience mapper',
    changes: { aud: 'account' },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const auth0: ProviderTokens = {
  heading: 'Auth0',
  algorithm: 'RS256',
  header: jwt,
  jwksUrl: 'https://shop.eu.auth0.com/.well-known/jwks.json',
  claims: {
    'https://shop.example.com/id': 'maggie-7',
    iss: 'https://shop.eu.auth0.com/',
    sub: 'auth0|64f1c0a5e3b2d1f09a8b7c6d',
    aud: ['https://gate.example.com', 'https://shop.eu.auth0.com/userinfo'],
    iat: now,
    exp: now + 86_400,
    scope: 'openid profile read:prices',
    azp: 'kYt7Xw2ZpQ9sLmN4vB6cR1dF8gH3jK5a',
    permissions: ['read:prices', 'trade:orders'],
  },
  user: 'auth0|64f1c0a5e3b2d1f09a8b7c6d',
  publish: ['orders.new'],
  subscribe: ['prices.gold', 'user.maggie-7'],
  neither: ['user.auth0', 'user.theo'],
  refused: {
    name: 'an ID token',
    changes: {
      aud: 'kYt7Xw2ZpQ9sLmN4vB6cR1dF8gH3jK5a',
      nonce: 'n',
      permissions: undefined,
      scope: undefined,
    },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const entra: ProviderTokens = {
  heading: 'Entra ID',
  algorithm: 'RS256',
  header: jwt,
  jwksUrl: `https://login.microsoftonline.com/${tenant}/discovery/v2.0/keys`,
  claims: {
    aud: api,
    iss: `https://login.microsoftonline.com/${tenant}/v2.0`,
    iat: now,
    nbf: now,
    exp: now + 4799,
    aio: 'AXQAi/8IAAAA5jZ2m0s=',
    azp: '1fec8e78-bce4-4aaf-ab1b-5451cc387264',
    azpacr: '0',
    name: 'Maggie Smith',
    oid,
    preferred_username: 'maggie@shop.example.com',
    rh: '0.ARoAv4j5cvGGr0GRqy180BHbR3jeMWemFK5Jl7xuumkUOR4BAAA.',
    roles: ['Trader'],
    scp: 'Prices.Read Orders.Write',
    sub: 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ',
    tid: tenant,
    uti: 'fqiBqXLPj0eQa82S-IYFAA',
    ver: '2.0',
  },
  user: oid,
  publish: [`orders.${oid}`],
  subscribe: ['prices.gold'],
  neither: ['orders.new'],
  refused: {
    name: 'a token for Microsoft Graph',
    changes: { aud: '00000003-0000-0000-c000-000000000000' },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const entra1: ProviderTokens = {
  ...entra,
  heading: 'Entra ID, version 1',
  header: { ...jwt, x5t: 'L1KfKFI_jnXbwWc22xZxw1sUHH0' },
  jwksUrl: `https://login.microsoftonline.com/${tenant}/discovery/keys`,
  claims: {
    aud: `api://${api}`,
    iss: `https://sts.windows.net/${tenant}/`,
    iat: now,
    nbf: now,
    exp: now + 4799,
    acr: '1',
    amr: ['pwd'],
    appid: '1fec8e78-bce4-4aaf-ab1b-5451cc387264',
    appidacr: '0',
    family_name: 'Smith',
    ipaddr: '203.0.113.7',
    oid,
    roles: ['Trader'],
    scp: 'Prices.Read',
    sub: 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ',
    tid: tenant,
    unique_name: 'maggie@shop.example.com',
    upn: 'maggie@shop.example.com',
    uti: 'fqiBqXLPj0eQa82S-IYFAA',
    ver: '1.0',
  },
  refused: {
    name: 'a token for another API',
    changes: { aud: 'https://graph.microsoft.com' },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const entraTenants: ProviderTokens = {
  ...entra,
  heading: 'Entra ID, many tenants',
  jwksUrl: 'https://login.microsoftonline.com/common/discovery/v2.0/keys',
  claims: { ...entra.claims, iss: `https://login.microsoftonline.com/${otherTenant}/v2.0`, tid: otherTenant },
  user: 'HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ',
  publish: [`orders.${otherTenant}`],
  subscribe: [`orders.${otherTenant}`, 'prices.gold'],
  neither: [`orders.${tenant}`],
  refused: {
    name: 'a token whose tid is not the tenant of its issuer',
    changes: { tid: '11111111-2222-3333-4444-555555555555' },
    code: 'token_invalid',
    detail: /not a token of this server/,
  },
}

const okta: ProviderTokens = {
  heading: 'Okta',
  algorithm: 'RS256',
  header: {},
  jwksUrl: 'https://shop.okta.com/oauth2/default/v1/keys',
  claims: {
    ver: 1,
    jti: 'AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE',
    iss: 'https://shop.okta.com/oauth2/default',
    aud: 'api://default',
    ...hour,
    cid: '0oab8eb55Kb9jdMIr5d6',
    uid: '00ub41z7mgzNqryMv5d6',
    scp: ['openid', 'trade'],
    auth_time: now - 10,
    sub: 'maggie.smith@example.com',
    groups: ['Everyone', 'Traders'],
  },
  user: '00ub41z7mgzNqryMv5d6',
  publish: ['orders.00ub41z7mgzNqryMv5d6'],
  subscribe: ['prices.gold'],
  neither: ['orders.maggie'],
  refused: {
    name: 'a token of a service, by client credentials',
    changes: { uid: undefined, groups: undefined, sub: '0oab8eb55Kb9jdMIr5d6' },
    code: 'token_invalid',
    detail: /\(subject_missing\)/,
  },
}

const cognitoClient = '1h57kf5cpq17m0eml12example'

const cognito: ProviderTokens = {
  heading: 'Cognito',
  algorithm: 'RS256',
  header: {},
  jwksUrl: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aB3dE5fG7/.well-known/jwks.json',
  claims: {
    sub: uuid,
    'cognito:groups': ['readers', 'traders'],
    iss: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_aB3dE5fG7',
    version: 2,
    client_id: cognitoClient,
    origin_jti: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
    event_id: '64f513be-32db-42b0-b78e-b02127b4f463',
    token_use: 'access',
    scope: 'openid shop/prices.read',
    auth_time: now,
    ...hour,
    jti: 'c7d1a0d8-5a3f-4c4d-9a51-5a0e4d2a7a31',
    username: 'maggie',
  },
  user: uuid,
  session: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
  publish: [`orders.${uuid}`],
  subscribe: ['prices.gold'],
  neither: ['orders.maggie'],
  refused: {
    name: 'an ID token',
    changes: { token_use: 'id', client_id: undefined, scope: undefined, aud: cognitoClient },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const firebase: ProviderTokens = {
  heading: 'Firebase',
  algorithm: 'RS256',
  header: jwt,
  jwksUrl: 'https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com',
  claims: {
    name: 'Maggie Smith',
    role: 'trader',
    iss: 'https://securetoken.google.com/shop-4f2a1',
    aud: 'shop-4f2a1',
    auth_time: now - 5,
    user_id: 'Xk2pQ9sLmN4vB6cR1dF8gH3jK5a7',
    sub: 'Xk2pQ9sLmN4vB6cR1dF8gH3jK5a7',
    ...hour,
    email: 'maggie@example.com',
    email_verified: false,
    firebase: { identities: { email: ['maggie@example.com'] }, sign_in_provider: 'password' },
  },
  user: 'Xk2pQ9sLmN4vB6cR1dF8gH3jK5a7',
  publish: ['orders.Xk2pQ9sLmN4vB6cR1dF8gH3jK5a7'],
  subscribe: ['user.Xk2pQ9sLmN4vB6cR1dF8gH3jK5a7'],
  neither: ['user.theo'],
  refused: {
    name: 'a token of an anonymous user',
    changes: { role: undefined, firebase: { identities: {}, sign_in_provider: 'anonymous' } },
    code: 'channel_forbidden',
    detail: /\(no_rights\)/,
  },
}

const clerk: ProviderTokens = {
  heading: 'Clerk',
  algorithm: 'RS256',
  header: { ...jwt, cat: 'cl_B7d4PD111AAA' },
  jwksUrl: 'https://clerk.example.com/.well-known/jwks.json',
  claims: {
    azp: 'https://app.example.com',
    // Tokens of Clerk last a minute. This one lasts longer, because the machine may be busy.
    exp: now + 3600,
    fva: [0, -1],
    iat: now,
    iss: 'https://clerk.example.com',
    jti: '0c1d2e3f4a5b6c7d8e9f',
    nbf: now - 10,
    o: { id: 'org_2abcDEF', rol: 'admin', slg: 'shop' },
    sid: 'sess_2mNo5PqR7sT9uVw',
    sts: 'active',
    sub: 'user_2xYz3AbC5dE7fGh',
    v: 2,
  },
  user: 'user_2xYz3AbC5dE7fGh',
  session: 'sess_2mNo5PqR7sT9uVw',
  publish: ['team.org_2abcDEF'],
  subscribe: ['user.user_2xYz3AbC5dE7fGh'],
  neither: ['team.org_other', 'user.user_other'],
  refused: {
    name: 'a token of a page on another origin',
    changes: { azp: 'https://app.example.com.evil.example' },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const supabaseClaims: Json = {
  iss: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1',
  sub: uuid,
  aud: 'authenticated',
  ...hour,
  email: 'maggie@example.com',
  phone: '',
  app_metadata: { provider: 'email', providers: ['email'], roles: ['trader'] },
  user_metadata: { email: 'maggie@example.com' },
  role: 'authenticated',
  aal: 'aal1',
  amr: [{ method: 'password', timestamp: now }],
  session_id: '1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9',
  is_anonymous: false,
}

const supabase: ProviderTokens = {
  heading: 'Supabase',
  algorithm: 'ES256',
  header: jwt,
  jwksUrl: 'https://abcdefghijklmnopqrst.supabase.co/auth/v1/.well-known/jwks.json',
  claims: supabaseClaims,
  user: uuid,
  session: '1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9',
  publish: [`orders.${uuid}`],
  subscribe: [`user.${uuid}`],
  neither: ['user.theo'],
  refused: {
    name: 'a token of the service role',
    changes: { aud: undefined, role: 'service_role', session_id: undefined },
    code: 'token_invalid',
    detail: /\(audience\)/,
  },
}

const supabaseSecret: ProviderTokens = {
  ...supabase,
  heading: 'Supabase, with the JWT secret',
  algorithm: 'HS256',
  refused: {
    name: 'the anonymous key, which every page contains',
    changes: {
      ...Object.fromEntries(Object.keys(supabaseClaims).map(name => [name, undefined])),
      iss: 'supabase',
      ref: 'abcdefghijklmnopqrst',
      role: 'anon',
      iat: now,
      exp: now + 315_360_000,
    },
    code: 'token_invalid',
    detail: /not a token of this server/,
  },
}

const github: ProviderTokens = {
  heading: 'GitHub Actions',
  algorithm: 'RS256',
  header: { ...jwt, x5t: 'eFnLxSUeOnHH_Fe8s-CABDQzAMg' },
  jwksUrl: 'https://token.actions.githubusercontent.com/.well-known/jwks',
  claims: {
    jti: '4f2a1c3d-1b5e-4d6f-8a7b-9c0d1e2f3a4b',
    sub: 'repo:octo-org/shop:environment:production',
    environment: 'production',
    aud: 'https://gate.example.com',
    ref: 'refs/heads/main',
    sha: '1f2e3d4c5b6a49788695a4b3c2d1e0f91f2e3d4c',
    repository: 'octo-org/shop',
    repository_owner: 'octo-org',
    actor_id: '12',
    repository_visibility: 'private',
    repository_id: '74',
    repository_owner_id: '65',
    run_id: '9876543210',
    run_number: '10',
    run_attempt: '2',
    runner_environment: 'github-hosted',
    actor: 'octocat',
    workflow: 'deploy',
    head_ref: '',
    base_ref: '',
    event_name: 'workflow_dispatch',
    ref_type: 'branch',
    job_workflow_ref: 'octo-org/shop/.github/workflows/deploy.yml@refs/heads/main',
    iss: 'https://token.actions.githubusercontent.com',
    nbf: now - 600,
    exp: now + 3600,
    iat: now,
  },
  user: 'repo:octo-org/shop:environment:production',
  publish: ['deploys.shop', 'builds.9876543210'],
  subscribe: [],
  neither: ['builds.1'],
  refused: {
    name: 'a token of another repository, such as a fork',
    changes: {
      sub: 'repo:mallory/shop:environment:production',
      repository: 'mallory/shop',
      repository_id: '666',
    },
    code: 'channel_forbidden',
    detail: /\(no_rights\)/,
  },
}

const backend: ProviderTokens = {
  heading: 'Your own back end',
  algorithm: 'HS256',
  header: jwt,
  claims: { iss: 'shop', aud: 'gate', sub: 'maggie', role: 'trader', ...hour },
  user: 'maggie',
  publish: ['orders.maggie'],
  subscribe: ['prices.gold'],
  neither: ['orders.theo'],
  refused: {
    name: 'a token of a user without rights',
    changes: { role: 'customer' },
    code: 'channel_forbidden',
    detail: /\(no_rights\)/,
  },
}

/** Tokens of providers with public keys. One gate can trust all of these providers. */
export const publicKeyProviders: readonly ProviderTokens[] = [
  keycloak,
  auth0,
  entra,
  entra1,
  entraTenants,
  okta,
  cognito,
  firebase,
  clerk,
  supabase,
  github,
]

/** Tokens of issuers that share a secret with the gate. */
export const secretProviders: readonly ProviderTokens[] = [supabaseSecret, backend]
