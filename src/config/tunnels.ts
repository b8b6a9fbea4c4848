import { X509Certificate } from 'node:crypto'
import { channelNameForm, isChannelName, routes } from '../protocol.js'
import { InvalidValue, integer, type Kind, path, quote, type Rate, rate, readFile } from './value-types.js'

/** A tunnel through the gate to an upstream WebSocket server. */
export interface TunnelRoute {
  /**
   * The path at which clients open it: `/graphql`, or with a rest that is appended to the path of
   * `url`, `/docs/*`.
   */
  readonly path: string
  /** The upstream server: `ws://HOST:PORT/PATH`, `wss://…`, or `ws+unix:/SOCKET:/PATH`. */
  readonly url: string
  /**
   * The channel on which the ticket must give a right.
   * @default the rest of the path if it ends in `/*`; otherwise required
   */
  readonly channel?: string | undefined
  /**
   * Which of the subprotocols offered beside the ticket is echoed: `first`, `none`, or the one with
   * this name.
   * @default 'first'
   */
  readonly subprotocol?: string | undefined
  /**
   * The header `Host` to the upstream server, as `app.example.com` or `app.example.com:8443`. With
   * `wss:` also the name that its certificate has to have.
   * @default the host of `url`
   */
  readonly host?: string | undefined
  /**
   * With `wss:`, a file with the certificates, in PEM, that vouch for the upstream server.
   * @default those that Node trusts
   */
  readonly caFile?: string | undefined
  /**
   * Whether the gate offers permessage-deflate to the upstream server. Messages are compressed on
   * their own, so this takes no memory per socket.
   * @default 'off'
   */
  readonly upstreamCompression?: 'on' | 'off' | undefined
  /** @default the option `messageRate` */
  readonly messageRate?: Rate | 'off' | undefined
  /**
   * The largest message from a client. The upstream server may send as much, and at least 1 MiB.
   * @default the option `maxMessageBytes`
   */
  readonly maxMessageBytes?: number | undefined
}

type Settings = { -readonly [Name in keyof TunnelRoute]: TunnelRoute[Name] }

const maxTunnels = 64
const messageBytes = integer(1024, 16_777_216, 'bytes')

// Excludes patterns of uWS (`:name`), percent-encoding, and `..`.
const pathForm = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+(?:\/|\/\*)?$/
const hostForm = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?::[1-9]\d{0,4})?$/
const tokenForm = /^[!#$%&'*+.^_`|~A-Za-z0-9-]+$/

const examples = '/graphql=ws://127.0.0.1:4000/graphql;channel=graphql or /docs/*=ws://127.0.0.1:1234'

/** Whether the gate itself serves a path. */
const isTaken = (path: string): boolean =>
  `${path}/`.startsWith(routes.channel) ||
  `${path}/`.startsWith('/console/') ||
  Object.values(routes).some(own => own === path.replace(/\/\*?$/, ''))

/** Why these bytes do not vouch for anybody, if they do not. */
function caFault(bytes: Buffer): string | undefined {
  try {
    new X509Certificate(bytes)
    return undefined
  } catch {
    return 'has no certificate in PEM'
  }
}

function readPath(text: string): string {
  if (!pathForm.test(text) || text.length > 256)
    throw new InvalidValue(
      `${quote(text)} is not a path: write one of A-Z a-z 0-9 . _ ~ - and /, as ${examples}`,
    )
  if (isTaken(text)) throw new InvalidValue(`${quote(text)} is a path of the gate itself: choose another one`)
  return text
}

/** The upstream server. Its URL is never quoted: it may contain a password. */
function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isUnix = url?.protocol === 'ws+unix:'
  if (url === undefined || !(isUnix || /^wss?:$/.test(url.protocol)))
    throw new InvalidValue(`is not followed by the URL of a WebSocket server: write ${examples}`)
  if (/[?#]/.test(text) || url.username !== '' || url.password !== '')
    throw new InvalidValue(
      'its URL has a query, fragment, user or password: give scheme, host, port and path only',
    )
  if (isUnix && (url.host !== '' || !/^\/[^:]+:\/[^:]*$/.test(url.pathname)))
    throw new InvalidValue(
      'its URL does not name a Unix socket and a path: write it as ws+unix:/run/chat.sock:/path',
    )
  return url.href
}

const readers: Readonly<Record<string, (text: string, settings: Settings) => void>> = {
  channel(text, settings) {
    if (!isChannelName(text))
      throw new InvalidValue(`${quote(text)} is not a channel name: give ${channelNameForm}`)
    settings.channel = text
  },
  subprotocol(text, settings) {
    if (!tokenForm.test(text) || text.startsWith('ticket.'))
      throw new InvalidValue(`${quote(text)} is not a subprotocol: give its name, first or none`)
    settings.subprotocol = text
  },
  host(text, settings) {
    if (!hostForm.test(text) || text.length > 255)
      throw new InvalidValue(
        `${quote(text)} is not a host: write it as app.example.com or app.example.com:8443`,
      )
    settings.host = text
  },
  'ca-file'(text, settings) {
    if (!settings.url?.startsWith('wss:')) throw new InvalidValue('is for upstream servers TLS only: wss://')
    const fault = caFault(readFile(path.parse(text)))
    if (fault !== undefined) throw new InvalidValue(`${quote(text)} ${fault}`)
    settings.caFile = text
  },
  'upstream-compression'(text, settings) {
    if (text !== 'on' && text !== 'off') throw new InvalidValue(`${quote(text)} is neither on nor off`)
    settings.upstreamCompression = text
  },
  'message-rate'(text, settings) {
    settings.messageRate = rate.parse(text) ?? 'off'
  },
  'max-message-bytes'(text, settings) {
    settings.maxMessageBytes = messageBytes.parse(text)
  },
}

/** `PATH=URL[;SETTING=VALUE…]` */
function readTunnel(text: string): TunnelRoute {
  const [target = '', ...settings] = text.split(';').map(part => part.trim())
  const equals = target.indexOf('=')
  if (equals < 0) throw new InvalidValue(`${quote(target)} is not a path and a URL: write it as ${examples}`)
  const path = readPath(target.slice(0, equals))
  const tunnel: Settings = { path, url: readUrl(target.slice(equals + 1)) }
  const seen = new Set<string>()
  for (const setting of settings) {
    const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(setting) ?? []
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined
    if (read === undefined)
      throw new InvalidValue(`unknown setting ${quote(name)}: use one of ${Object.keys(readers).join(', ')}`)
    if (seen.has(name)) throw new InvalidValue(`${name} is given twice`)
    seen.add(name)
    inPlace(name, () => read(value, tunnel))
  }
  if (tunnel.channel === undefined && !path.endsWith('/*'))
    throw new InvalidValue(
      'names no channel, and its path does not end in /*: add ;channel=NAME, or end the path in /*',
    )
  return tunnel
}

/** Prefixes a problem with the place of its value. */
function inPlace<T>(place: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof InvalidValue) throw new InvalidValue(`${place}: ${error.message}`)
    throw error
  }
}

const kebab = (name: string): string => name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)

/** A value of a tunnel given as an object; undefined if its type is wrong. */
function settingText(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : rate.textOf?.(value)
}

/** The text form of a tunnel given as an object; undefined if it is not one. */
function tunnelText(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  if (typeof given !== 'object' || given === null) return undefined
  const { path, url, ...others }: Readonly<Record<string, unknown>> = { ...given }
  if (typeof path !== 'string' || typeof url !== 'string') return undefined
  let text = `${path}=${url}`
  for (const [name, value] of Object.entries(others)) {
    if (value === undefined) continue
    const setting = settingText(value)
    if (setting === undefined) return undefined
    text += `;${kebab(name)}=${setting}`
  }
  return text
}

/** Comma-separated tunnels, each with its own path. */
export const tunnels: Kind<readonly TunnelRoute[]> = {
  placeholder: 'LIST',
  values: 'comma list of PATH=URL[;SETTING=VALUE…]',
  textOf(value) {
    if (!Array.isArray(value)) return undefined
    const texts = value.map(tunnelText)
    return texts.includes(undefined) ? undefined : texts.join()
  },
  parse(text) {
    const entries = text.split(',').map(entry => entry.trim())
    const found = entries
      .filter(entry => entry !== '')
      .map((entry, index) => inPlace(`tunnel ${index + 1}`, () => readTunnel(entry)))
    if (found.length > maxTunnels)
      throw new InvalidValue(`has ${found.length} tunnels: give ${maxTunnels} at most`)
    for (const [index, { path }] of found.entries())
      if (found.findIndex(other => other.path === path) < index)
        throw new InvalidValue(`tunnel ${index + 1}: ${quote(path)} is the path of another one as well`)
    return found
  },
}

/** Names of header fields that the gate writes itself, or that belong to one connection. */
const ownFields =
  /^(?:x-ticket-.*|x-forwarded-.*|forwarded|x-request-id|sec-websocket-.*|authorization|host|connection|upgrade|keep-alive|te|trailer|transfer-encoding|content-length|expect|proxy-.*)$/

/**
 * Whether a server might mistake a field for one that the gate writes: many treat `_` and `.` like
 * `-`.
 */
const isOwnField = (name: string): boolean => ownFields.test(name.toLowerCase().replace(/[_.]/g, '-'))

/** The name of a header field that tunnels forward from a client. */
export function clientField(text: string): string {
  if (!tokenForm.test(text) || text.length > 64)
    throw new InvalidValue(`${quote(text)} is not the name of a header field`)
  if (isOwnField(text))
    throw new InvalidValue(
      `${quote(text)} is a field that the gate writes itself, or resembles one: leave it out`,
    )
  return text.toLowerCase()
}
