import { resolve } from 'node:path'
import type { IssuerConfig } from '../config/issuers.js'
import type { Config } from '../config/schema.js'
import { nameText } from '../token/issuer-name.js'
import type { ExampleUser } from './demo-user.js'
import { program, shellWord } from './program.js'

export interface BannerFacts {
  readonly url: string
  readonly adminUrl: string
  readonly config: Pick<Config, 'usersFile' | 'issuers' | 'console'>
  /** Undefined if an identity provider does the logins. */
  readonly user: ExampleUser | undefined
}

/** The query may contain a secret. */
const withoutQuery = (url: string): string => url.replace(/[?#].*/, '')

/**
 * Returns what a developer sees after `npm start`: the addresses, who can log in, and the flow, as
 * a page and as three lines of curl.
 */
export function developmentBanner({ url, adminUrl, config, user }: BannerFacts): string {
  const { curl, base, isUnix } = targetOf(url)
  const page = config.console === 'on' && !isUnix ? `\nThe whole flow, step by step: ${url}/\n` : ''
  const field = (name: string): string => `sed -n 's/.*"${name}":"\\([^"]*\\)".*/\\1/p'`
  return `
ticketgate (development) listens on ${url}, for operators on ${adminUrl}
${loginHint(user, config)}
${page}
The whole flow, to paste (the 101 in the third line is the open socket; a second time it is 401):

  TOKEN=${user === undefined ? "'a token from the identity provider'" : `$(${curl} -s ${base}/auth ${loginArguments(user)} | ${field('token')})`}
  TICKET=$(${curl} -s ${base}/ws_ticket -H "authorization: Bearer $TOKEN" | ${field('ticket')})
  ${curl} -i -m 2 -H 'upgrade: websocket' -H 'connection: upgrade' -H 'sec-websocket-version: 13' -H 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==' "${base}/channel/lobby?ticket=$TICKET"

`
}

interface Target {
  readonly curl: string
  /** The URL for curl. */
  readonly base: string
  /** Whether it is a Unix socket, which no browser opens. */
  readonly isUnix: boolean
}

function targetOf(url: string): Target {
  const [, scheme, path] = /^(https?)\+unix:(.+)$/.exec(url) ?? []
  if (scheme === undefined || path === undefined) return { curl: 'curl', base: url, isUnix: false }
  return { curl: `curl --unix-socket ${shellWord(path)}`, base: `${scheme}://localhost`, isUnix: true }
}

function loginHint(user: ExampleUser | undefined, { usersFile, issuers }: BannerFacts['config']): string {
  if (user === undefined) return `tokens by ${issuers.map(issuerText).join(', ')}`
  const file = resolve(usersFile)
  if (user.password !== undefined)
    return `user ${user.name}, password ${user.password} (shown only this once; its hash is in ${file})`
  const command = `${program()} user passwd ${shellWord(user.name)} --users-file ${shellWord(file)}`
  return `users in ${file}; a password is shown only when it is created. To set a new one for ${user.name}:\n  ${command}`
}

const issuerText = ({ name, keys }: IssuerConfig): string =>
  keys.from === 'jwks'
    ? `the identity provider with the keys under ${withoutQuery(keys.url)}`
    : name === undefined
      ? 'any issuer'
      : nameText(name)

function loginArguments({ name, password = 'PASSWORD' }: ExampleUser): string {
  return `-H 'content-type: application/json' -d ${shellWord(JSON.stringify({ user: name, pwd: password }))}`
}
