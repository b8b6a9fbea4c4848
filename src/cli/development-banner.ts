import { demoUser } from './demo-user.js'

export interface RecipeFacts {
  readonly url: string
  readonly adminUrl: string
  /** Of the demo user, when it was made just now. */
  readonly password: string | undefined
  readonly usersFile: string
  /** Of the identity provider that does the logins, if one does. */
  readonly jwksUrl: string | undefined
  /** Where the console is, when it is on. */
  readonly page: string | undefined
}

/** The query may hold a secret. */
const withoutQuery = (url: string): string => url.replace(/[?#].*/, '')

/** What a developer sees after `npm start`: where it listens, who may log in, and the flow: a page, and three lines of curl. */
export function developmentRecipe({
  url,
  adminUrl,
  password,
  usersFile,
  jwksUrl,
  page,
}: RecipeFacts): string {
  const owner =
    password === undefined
      ? `users in ${usersFile}; passwords are shown only when made. A new one: npx ticketgate user passwd ${demoUser}`
      : `user ${demoUser}, password ${password} (shown only this once; its hash is in ${usersFile})`
  const pwd = password ?? 'PASSWORD'
  const field = (name: string): string => `sed -n 's/.*"${name}":"\\([^"]*\\)".*/\\1/p'`
  const login = `$(curl -s ${url}/auth -H 'content-type: application/json' -d '{"user":"${demoUser}","pwd":"${pwd}"}' | ${field('token')})`
  return `
ticketgate (development) listens on ${url}, for operators on ${adminUrl}
${jwksUrl === undefined ? owner : `tokens by the identity provider with the keys under ${withoutQuery(jwksUrl)}`}
${page === undefined ? '' : `\nThe whole flow, to click through: ${page}\n`}
The whole flow, to paste (the 101 in the third line is the open socket; a second time it is 401):

  TOKEN=${jwksUrl === undefined ? login : "'a token of the identity provider'"}
  TICKET=$(curl -s ${url}/ws_ticket -H "authorization: Bearer $TOKEN" | ${field('ticket')})
  curl -i -m 2 -H 'upgrade: websocket' -H 'connection: upgrade' -H 'sec-websocket-version: 13' -H 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==' "${url}/channel/lobby?ticket=$TICKET"

`
}
