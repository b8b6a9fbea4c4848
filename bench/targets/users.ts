import { hash } from '@node-rs/argon2'
import { secret } from './secret.js'
import type { Logins } from './target.js'

/**
 * Two users and their hashes: one as `ticketgate user add` makes it, and the cheapest that it
 * accepts.
 */
export interface Users {
  readonly logins: Logins
  readonly hashes: Readonly<Record<string, string>>
}

export const createUsers = async (): Promise<Users> => {
  const production = { user: 'bench', pwd: secret() }
  const cheap = { user: 'cheap', pwd: secret() }
  return {
    logins: { production, cheap },
    hashes: {
      bench: await hash(production.pwd, { memoryCost: 19_456, timeCost: 2, parallelism: 1 }),
      cheap: await hash(cheap.pwd, { memoryCost: 7_168, timeCost: 1, parallelism: 1 }),
    },
  }
}
