import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { bearer, outcomeOf, postJson, request, requestUpgrade } from '../support/http.js'
import { jwks, newKey, startProvider } from '../support/provider.js'
import { startServer, temporaryDirectory } from '../support/server.js'
import { claimsFor, gatePath, mintWith, signText } from '../support/tokens.js'

const preload = new URL('mortal-thread.mjs', import.meta.url).href

const secrets = ['first-token-secret-Hs4Pq8Zt1Lw6Xc9Rb2', 'second-token-secret-Yn1Wd7Md5Kf7Vq3n8'] as const
const origins = ['https://one.example.com', 'https://two.example.com'] as const

const tokenOf = (secret: string): string =>
  signText('{"alg":"HS256","typ":"JWT"}', JSON.stringify(claimsFor('maggie')), secret)

const files = (t: Test) => {
  const directory = temporaryDirectory(t)
  return {
    directory,
    path: (name: string): string => join(directory, name),
    write(name: string, text: string): void {
      writeFileSync(join(directory, `${name}.new`), text, { mode: 0o600 })
      renameSync(join(directory, `${name}.new`), join(directory, name))
    },
  }
}

t.test('a replacement thread uses the current content of its files', async t => {
  const { path, write, directory } = files(t)
  write('secret', secrets[0])
  write('origins', origins[0])
  write('settings', 'TICKETGATE_LOGIN_RATE=off\n')
  const server = await startServer(t, {
    env: {
      NODE_OPTIONS: `--import=${preload}`,
      MORTAL_DIRECTORY: directory,
      TICKETGATE_THREADS: '2',
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_JWT_SECRET_FILE: path('secret'),
      TICKETGATE_ORIGINS: undefined,
      TICKETGATE_ORIGINS_FILE: path('origins'),
      TICKETGATE_SETTINGS_FILE: path('settings'),
    },
  })
  const deaths = [0, 1].map(async thread => {
    writeFileSync(path(`${thread}-death`), '')
    await server.logged(`"thread":${thread},"msg":"replacing the thread"`)
  })
  await Promise.all(deaths)
  write('secret', secrets[1])
  write('origins', origins[1])
  write('settings', 'TICKETGATE_LOGIN_RATE=1/3600\n')
  for (const thread of [0, 1])
    await server.logged(`"thread":${thread},"msg":"the replacement thread is serving"`)

  // Connections go to either thread.
  for (let n = 0; n < 16; n++) {
    const old = await request(server.url, '/ws_ticket', { headers: bearer(tokenOf(secrets[0])) })
    t.equal(outcomeOf(old), '401 token_invalid')
    const path = gatePath((await mintWith(server.url, tokenOf(secrets[1]))).ticket)
    const enter = async (origin: string): Promise<string> =>
      outcomeOf(await requestUpgrade(server.url, path, { headers: { origin } }))
    t.equal(await enter(origins[0]), '403 origin_forbidden')
    t.equal(await enter(origins[1]), '101')
  }
  const logIn = async (): Promise<string> =>
    outcomeOf(await postJson(server.url, '/auth', { user: 'maggie', pwd: 'wrong' }))
  t.strictSame([await logIn(), await logIn(), await logIn()].slice(1), [
    '429 rate_limited',
    '429 rate_limited',
  ])

  // A replacement does not start with an invalid file, not even with its earlier content.
  write('secret', 'short')
  writeFileSync(path('0-again'), '')
  await server.logged('could not start a thread')
  t.match(server.output(), /the secret in .*secret is shorter than 32 bytes/)
  write('secret', secrets[1])
  await server.logged('"thread":0,"msg":"the replacement thread is serving"', 2)
})

t.test('a file that changes while the start waits for the keys of a provider is read again', async t => {
  const { path, write } = files(t)
  write('secret', secrets[0])
  const keys = jwks(newKey('ES256', 'one'))
  const provider = await startProvider(t, (response, request) => {
    write('secret', secrets[1])
    keys(response, request)
  })
  const issuer = { issuer: 'https://id.example.com', jwksUrl: provider.url, audiences: ['gate'] }
  write('issuers', JSON.stringify([issuer]))
  const server = await startServer(t, {
    env: {
      TICKETGATE_LOGIN: 'on',
      TICKETGATE_JWT_ISSUER: 'here',
      TICKETGATE_JWT_SECRET: undefined,
      TICKETGATE_JWT_SECRET_FILE: path('secret'),
      TICKETGATE_ISSUERS_FILE: path('issuers'),
    },
  })
  await server.logged('issuers and token secrets reloaded')
  const outcomes = secrets.map(async secret => {
    const token = signText(
      '{"alg":"HS256","typ":"JWT"}',
      JSON.stringify({ ...claimsFor('maggie'), iss: 'here' }),
      secret,
    )
    return outcomeOf(await request(server.url, '/ws_ticket', { headers: bearer(token) })).slice(0, 3)
  })
  t.strictSame(await Promise.all(outcomes), ['401', '200'])
})
