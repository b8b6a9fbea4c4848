import { fileURLToPath } from 'node:url'
import type { Replies } from './replies.js'
import type { Users } from './users.js'

export type Environment = Readonly<Record<string, string>>

/** Whatever a target needs to start. */
export interface Stage {
  readonly directory: string
  readonly users: Users
  /** The replies of ticketgate, for the floor. */
  readonly replies: Replies
}

/** The program of a peer. */
export const peer = (file: string): string => fileURLToPath(new URL(`peers/${file}`, import.meta.url))
