import { admissionScenario } from './admission.js'
import { authScenario } from './auth.js'
import { fanOutScenario } from './fan-out.js'
import { handshakeScenario } from './handshake.js'
import { inboundScenario } from './inbound.js'
import { latencyScenario } from './latency.js'
import { memoryScenario } from './memory.js'
import { pausesScenario } from './pauses.js'
import type { Scenario } from './scenario.js'
import { stormScenario } from './storm.js'
import { ticketScenario } from './ticket.js'

/** The scenarios that compare targets, in the order of play. */
export const scenarios: readonly Scenario[] = [
  authScenario,
  ticketScenario,
  handshakeScenario,
  admissionScenario,
  fanOutScenario,
  inboundScenario,
  memoryScenario,
  latencyScenario,
  pausesScenario,
  stormScenario,
]

/** Scenarios that Node can drive if there is no C compiler. */
export const withoutOpener: readonly Scenario[] = [ticketScenario, handshakeScenario]
