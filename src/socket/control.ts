import { type Clock, toSeconds } from '../clock.js'
import { nodesAheadSeconds } from '../config/node-clocks.js'
import type { Config } from '../config/schema.js'
import { longestOutsideMs } from '../disk/gate-keys.js'
import type { RevocationFile } from '../disk/revocation-file.js'
import { Refusal } from '../errors.js'
import { channelNameForm, isChannelName, isSessionId, isUserName } from '../protocol.js'
import { json } from '../wire/json.js'
import type { Publication, RelayMessage, Revocation } from '../wire/relay.js'

/** Whose sockets and tokens end: those of a user, or of one login session. */
export type Subject = { readonly user: string } | { readonly session: string }

/** What the server itself does on its channels and to its sockets: the admin API, and embedding applications. */
export interface Operator {
  /** Sends publications to all subscribers; answers how many copies that were. */
  publish(publications: readonly Publication[]): Promise<number>
  /**
   * Closes all sockets of `subject` with 4403 and revokes its tokens; answers how many sockets. Resolves when that
   * holds in every thread, and over a restart.
   * @throws Refusal `revocations_full`
   */
  disconnect(subject: Subject): Promise<number>
}

export interface OperatorParts {
  readonly config: Config
  readonly file: RevocationFile
  /** Carries messages out in every thread of this gate; answers how many sockets they reached, in all. */
  readonly deliver: (messages: readonly RelayMessage[]) => Promise<number>
  readonly clock: Clock
}

export function createOperator({ config, file, deliver, clock }: OperatorParts): Operator {
  const { clockSkewSeconds } = config
  const hasOthers = config.redisUrl !== undefined
  const hasProvider = config.jwksUrl !== undefined
  // Another node dates its tokens by its own clock, which may be ahead: by this much all that was issued until now is
  // covered. Tokens of an identity provider are taken as issued that much earlier, whoever verifies them.
  const reachSeconds = hasProvider ? 0 : nodesAheadSeconds(config)
  // A token may be as old as allowed, and a ticket that names none as old as a ticket can be.
  // The clock of an identity provider may be ahead when it issues, and its tokens are taken until it may be behind.
  const longestSeconds = Math.max(
    config.tokenMaxTtlSeconds + (hasProvider ? 2 * clockSkewSeconds : 0),
    Math.ceil((longestOutsideMs(config) ?? 0) / 1000),
    config.ticketTtlSeconds,
  )
  // A node whose clock is ahead removes from Redis what is over, and one that is new, and behind, must not miss it.
  const keepSeconds = reachSeconds + longestSeconds + (hasOthers ? clockSkewSeconds : 0)
  return {
    publish: deliver,
    async disconnect(subject) {
      const nowSeconds = toSeconds(clock())
      const revocation: Revocation = {
        type: 'revoke',
        ...('user' in subject
          ? { subject: 'user', name: subject.user }
          : { subject: 'session', name: subject.session }),
        atSeconds: nowSeconds + reachSeconds,
        untilSeconds: nowSeconds + keepSeconds,
      }
      if (file.revocations.add(revocation, nowSeconds) === 'full')
        throw new Refusal('revocations_full', {
          detail: 'So many revocations are kept that there is no room for one more. Nothing was done.',
        })
      const disconnected = await deliver([revocation])
      await file.write(revocation)
      return disconnected
    },
  }
}

/** What an embedding application may do to a running gate. */
export interface ServerApi {
  /**
   * Publishes to all subscribers of a channel, without a user; answers how many those are.
   * @throws TypeError for a channel that can not be, or data that JSON can not say
   */
  publish(channel: string, data: unknown): Promise<number>
  /**
   * Closes all sockets of a user or session with 4403, and revokes their tokens; answers how many sockets.
   * @throws TypeError for a user or session that can not be
   */
  disconnect(subject: Subject): Promise<number>
}

export const serverApi = (operator: Operator): ServerApi => ({
  async publish(channel, data) {
    if (!isChannelName(channel)) throw new TypeError(`channel must be ${channelNameForm}`)
    return operator.publish([{ type: 'publish', channel, encoding: 'json', data: json.pack(data) }])
  },
  async disconnect(subject) {
    if ('user' in subject ? !isUserName(subject.user) : !isSessionId(subject.session))
      throw new TypeError('subject must be {user} or {session}, the name of one')
    return operator.disconnect(subject)
  },
})
