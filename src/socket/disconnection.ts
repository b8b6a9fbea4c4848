import {
  channelNameForm,
  isChannelName,
  isRevocationReason,
  isSessionId,
  isSocketId,
  isUserName,
  maxRevocationReasonBytes,
} from '../protocol.js'

/** What is disconnected. */
export type Subject =
  /** A user. */
  | { readonly user: string }
  /** One login session. */
  | { readonly session: string }
  /** One socket, by its id. */
  | { readonly socket: string }
  /** A channel: sockets that were opened on it are closed, others are unsubscribed. */
  | { readonly channel: string }
  /** A user, from one channel. */
  | { readonly user: string; readonly channel: string }
  /** Everybody. */
  | { readonly all: true }

export interface DisconnectOptions {
  /**
   * Sockets are not closed at once, but only if they are not renewed with a fresh token by then.
   */
  readonly reauthenticateWithinSeconds?: number
  /** The message for the clients: up to 100 bytes. */
  readonly reason?: string
}

export type Disconnection = Subject & DisconnectOptions

/** The members of a disconnection. */
export const disconnectionMembers = [
  'user',
  'session',
  'socket',
  'channel',
  'all',
  'reauthenticateWithinSeconds',
  'reason',
] as const

const maxRenewalSeconds = 86_400

type Members = Readonly<Record<string, unknown>>
type Check = readonly [is: (value: unknown) => boolean, form: string]

const text =
  (is: (value: string) => boolean) =>
  (value: unknown): boolean =>
    typeof value === 'string' && is(value)

const isWithin = (value: unknown): boolean =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= maxRenewalSeconds

const checks: Readonly<Record<(typeof disconnectionMembers)[number], Check>> = {
  user: [text(isUserName), 'the name of a user'],
  session: [text(isSessionId), 'the id of a session'],
  socket: [text(isSocketId), 'the id of a socket, as /connections has it'],
  channel: [text(isChannelName), channelNameForm],
  all: [value => value === true, 'true'],
  reauthenticateWithinSeconds: [isWithin, `an integer from 1 to ${maxRenewalSeconds}`],
  reason: [
    text(isRevocationReason),
    `1 to ${maxRevocationReasonBytes} bytes of text without control characters`,
  ],
}

const subjects = ['user', 'session', 'socket', 'channel', 'all'] as const

/**
 * Reads a disconnection from members whose names are known; returns what is wrong, for people, if
 * anything.
 */
export function readDisconnection(members: Members): Disconnection | string {
  const given = subjects.filter(name => members[name] !== undefined)
  if (given.length === 0) return `One of ${subjects.join(', ')} is required.`
  const known = disconnectionMembers.filter(name => members[name] !== undefined)
  for (const name of known) {
    const [is, form] = checks[name]
    if (!is(members[name])) return `${name} must be ${form}.`
  }
  if (given.length > 1 && given.join() !== 'user,channel')
    return `${given.join(' and ')} cannot be combined: only user and channel can.`
  // Without undefined members: the names of the members select the kind of disconnection.
  return Object.fromEntries(known.map(name => [name, members[name]])) as unknown as Disconnection
}
