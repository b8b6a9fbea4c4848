import type { Scenario } from '../scenario.js'
import { admissionScenario } from './admission.js'
import { authScenario } from './auth.js'
import { fanOutScenario } from './fan-out.js'
import { handshakeScenario } from './handshake.js'
import { inboundScenario } from './inbound.js'
import { latencyScenario } from './latency.js'
import { memoryScenario } from './memory.js'
import { stormScenario } from './storm.js'
import { ticketScenario } from './ticket.js'

/** Those that measure targets side by side, in the order in which they are played. */
export const scenarios: readonly Scenario[] = [
  authScenario,
  ticketScenario,
  handshakeScenario,
  admissionScenario,
  fanOutScenario,
  inboundScenario,
  memoryScenario,
  latencyScenario,
  stormScenario,
]

/** These can be driven by Node where there is no C compiler. */
export const withoutOpener: readonly Scenario[] = [ticketScenario, handshakeScenario]
