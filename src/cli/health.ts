import { get } from 'node:http'
import { recordedAddress } from '../disk/served-address.js'
import { urlOf } from '../http/url.js'
import { routes } from '../protocol.js'
import { type Command, CommandError } from './command.js'

const usage = `Usage: ticketgate health [options of serve]

Asks /healthz of the server that the environment and these options describe. Exit code 0 if it
returns 200, else 1. The options that count are --host, --port, --tls-cert-file and --state-dir;
without the first three, a server that was started with them is found by its state directory.
`

type Environment = Readonly<Record<string, string | undefined>>

const limitMs = 3000

/**
 * `ticketgate health`: the health check of a container, run every few seconds. So it first tries
 * the address that the environment states, and loads the configuration only to explain a failure.
 */
export const health: Command = async (args, { env, stdout }) => {
  if (args.length === 0 && (await problemAt(plainUrl(env))) === undefined) return 0
  const { wantsHelp } = await import('../config/arguments.js')
  const { optionFlags } = await import('../config/sources.js')
  const { readArguments } = await import('./arguments.js')
  const { configuredAddress } = await import('./health-address.js')
  if (wantsHelp(readArguments(args, optionFlags))) {
    stdout.write(usage)
    return 0
  }
  const { url, stateDir, isByFlag } = configuredAddress(env, args)
  const problem = await problemAt((isByFlag ? undefined : recordedAddress(stateDir, url)) ?? url)
  if (problem !== undefined) throw new CommandError(`not healthy: ${problem}`)
  return 0
}

/**
 * The URL of the server, if nothing in the environment is misspelt. The defaults are those of the
 * schema.
 */
export function plainUrl(env: Environment): string {
  const url = urlOf(
    env.TICKETGATE_TLS_CERT_FILE ? 'https' : 'http',
    env.TICKETGATE_HOST || '127.0.0.1',
    Number(env.TICKETGATE_PORT || env.PORT || 8080),
  )
  return recordedAddress(env.TICKETGATE_STATE_DIR || '.ticketgate', url) ?? url
}

/** A server that listens on all interfaces is reached on loopback. */
const reachable = (url: string): string =>
  url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')

/** Returns why the server at `url` is not healthy. Undefined if it is. */
async function problemAt(url: string): Promise<string | undefined> {
  const asked = reachable(url)
  const [, scheme, socketPath] = /^(https?)\+unix:(.+)$/.exec(asked) ?? []
  const base = scheme === undefined ? asked : `${scheme}://localhost`
  if (!URL.canParse(base)) return `${asked} is not a URL`
  const send = base.startsWith('https:') ? (await import('node:https')).get : get
  return new Promise(resolve => {
    // The server is local, and no certificate names this address.
    const options = { timeout: limitMs, rejectUnauthorized: false, socketPath }
    const request = send(`${base}${routes.health}`, options, response => {
      response.resume()
      resolve(response.statusCode === 200 ? undefined : `${asked}: status ${response.statusCode}`)
    })
    request.on('timeout', () => request.destroy(new Error(`no answer within ${limitMs / 1000} s`)))
    request.on('error', (error: NodeJS.ErrnoException) => resolve(`${asked}: ${error.message || error.code}`))
  })
}
