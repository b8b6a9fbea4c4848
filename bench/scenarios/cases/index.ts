import { avalancheCase } from './avalanche.js'
import type { Case } from './case.js'
import { dropsCase } from './drops.js'
import { channelsCase, subscriptionsCase } from './subscriptions.js'
import { threadsCase } from './threads.js'
import { tlsCase } from './tls.js'

/** All cases, in the order of play. */
export const cases: readonly Case[] = [
  tlsCase,
  threadsCase,
  subscriptionsCase,
  channelsCase,
  dropsCase,
  avalancheCase,
]
