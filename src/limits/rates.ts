import type { Config } from '../config/schema.js'
import { createLoginLimitsMemory, LoginLimits, loginRates } from './login-limits.js'
import { KeyedRate, type LimiterUsage, type RateLimiter } from './rate.js'
import { type SharedLimits, SharedRate } from './shared-limits.js'

/** The limits whose state is reported. */
export type LimiterName = 'login_address' | 'login_user' | 'ticket' | 'logout_failure'

/** The current state of each limit; absent if it is off. */
export type LimiterUsages = Partial<Record<LimiterName, LimiterUsage | undefined>>

/** The limits that hold over all threads of a gate. */
export class Rates {
  readonly logins: LoginLimits
  readonly tickets: RateLimiter

  private constructor(logins: LoginLimits, tickets: RateLimiter) {
    this.logins = logins
    this.tickets = tickets
  }

  /** For a gate with one thread. */
  static alone(config: Config): Rates {
    return new Rates(
      new LoginLimits(loginRates(config), createLoginLimitsMemory()),
      new KeyedRate(config.ticketRate),
    )
  }

  /** For each thread of a pool, and its main thread, which reads what they do. */
  static shared(config: Config, limits: SharedLimits): Rates {
    return new Rates(
      new LoginLimits(loginRates(config), limits.logins),
      new SharedRate(config.ticketRate, limits),
    )
  }

  /** Sets the rates. If a rate changes, its counts start over. */
  set(config: Pick<Config, 'loginRate' | 'loginFailureRate' | 'ticketRate'>): void {
    this.logins.setRates(loginRates(config))
    this.tickets.setRate(config.ticketRate)
  }

  /** Takes some milliseconds if there are a million addresses and users. */
  usages(nowMs: number): LimiterUsages {
    return {
      login_address: this.logins.addresses(nowMs),
      login_user: this.logins.users(nowMs),
      ticket: this.tickets.usage(nowMs),
    }
  }
}
