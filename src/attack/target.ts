import { ask, handshake, hear, type Opened, type Reply, textFrame } from './wire.js'

/** How a server hands out credentials for sockets, and where they are presented. */
export interface Profile {
  /** Where `{user, pwd}` is posted for a token; undefined if the token is given. */
  readonly loginPath: string | undefined
  /**
   * Where a token is exchanged for a ticket, by GET with the token as bearer; undefined if the
   * token itself opens sockets.
   */
  readonly ticketPath: string | undefined
  /** The path of a socket, with `{ticket}` in place of the credential. */
  readonly socketPath: string
  /** Socket.IO accepts the handshake first and takes the credential from the first packet. */
  readonly isSocketIo: boolean
}

const edge = {
  loginPath: '/auth',
  ticketPath: '/ws_ticket',
  socketPath: '/channel/?ticket={ticket}',
  isSocketIo: false,
}

/** Common kinds of servers. */
export const presets = {
  ticketgate: edge,
  getdel: edge,
  'jwt-in-url': { ...edge, ticketPath: undefined, socketPath: '/?token={ticket}' },
  'socket.io': {
    ...edge,
    ticketPath: undefined,
    socketPath: '/socket.io/?EIO=4&transport=websocket',
    isSocketIo: true,
  },
} as const satisfies Record<string, Profile>

export type PresetName = keyof typeof presets

/** The server to attack. */
export interface TargetOptions {
  readonly url: URL
  readonly profile: Profile
  readonly user: string
  readonly password: string
  /** Used instead of a login. */
  readonly token: string | undefined
  /** Sent as `Origin`; not sent if undefined. */
  readonly origin: string | undefined
}

/** A server whose tickets are attacked. Keeps nothing that it replies, except the token. */
export class Target {
  readonly #options: TargetOptions
  #token: string | undefined

  constructor(options: TargetOptions) {
    this.#options = options
    this.#token = options.token
  }

  get url(): URL {
    return this.#options.url
  }

  get origin(): string | undefined {
    return this.#options.origin
  }

  /** Whether sockets open with tickets, not with the tokens themselves. */
  get hasTickets(): boolean {
    return this.#options.profile.ticketPath !== undefined
  }

  get opensFirst(): boolean {
    return this.#options.profile.isSocketIo
  }

  /**
   * The token from the login, the same every time.
   * @throws Error if there is none
   */
  async token(): Promise<string> {
    this.#token ??= await this.#logIn()
    return this.#token
  }

  /**
   * A fresh credential that opens one socket.
   * @throws Error if there is none
   */
  async credential(): Promise<string> {
    const token = await this.token()
    const { profile } = this.#options
    if (profile.ticketPath === undefined) return token
    const reply = await this.askForTicket(token)
    const ticket = memberOf(reply, 'ticket')
    if (ticket === undefined)
      throw new Error(`${profile.ticketPath} returned no ticket: status ${reply.status}`)
    return ticket
  }

  /** Exchanges a token for a ticket, and returns the reply. */
  askForTicket(token: string): Promise<Reply> {
    const { url, profile } = this.#options
    return ask(url, {
      path: profile.ticketPath ?? '/',
      headers: { ...this.#originHeader(), Authorization: `Bearer ${token}` },
    })
  }

  /** Presents a credential, and returns whether it opened a socket. Never throws. */
  async present(credential: string, headers: Readonly<Record<string, string>> = {}): Promise<Opened> {
    const { url, profile } = this.#options
    const path = this.pathFor(credential)
    const opened = await handshake(url, path, { ...this.#originHeader(), ...headers })
    if (!profile.isSocketIo || !opened.isOpen) return opened
    // `40` joins the namespace, `44` refuses it.
    opened.socket.write(textFrame(`40${JSON.stringify({ token: credential })}`))
    const heard = await hear(opened.socket, text => /4[04]\{/.test(text.replace(/^.*?0\{.*?\}/s, '')))
    return { ...opened, isOpen: /40\{/.test(heard) }
  }

  /** Whether a credential opens a socket. Closes the socket again. */
  async opens(credential: string, headers?: Readonly<Record<string, string>>): Promise<boolean> {
    const { isOpen, socket } = await this.present(credential, headers)
    socket.destroy()
    return isOpen
  }

  /** Path and query of a handshake with this credential. */
  pathFor(credential: string): string {
    return this.#options.profile.socketPath.replace('{ticket}', credential)
  }

  async #logIn(): Promise<string> {
    const { url, profile, user, password } = this.#options
    if (profile.loginPath === undefined) throw new Error('a token is required: there is no login')
    const reply = await ask(url, {
      method: 'POST',
      path: profile.loginPath,
      headers: { ...this.#originHeader(), 'Content-Type': 'application/json' },
      body: JSON.stringify({ user, pwd: password }),
    })
    const token = memberOf(reply, 'token')
    if (token === undefined) throw new Error(`${profile.loginPath} returned no token: status ${reply.status}`)
    return token
  }

  #originHeader(): Record<string, string> {
    const { origin } = this.#options
    return origin === undefined ? {} : { Origin: origin }
  }
}

/** A string member of a JSON reply with status 200. */
function memberOf({ status, body }: Reply, name: string): string | undefined {
  if (status !== 200) return undefined
  try {
    const value: unknown = JSON.parse(body)[name]
    return typeof value === 'string' && value !== '' ? value : undefined
  } catch {
    return undefined
  }
}
