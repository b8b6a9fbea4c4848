import { exchangeOverTls, shakeOverTls, type TlsServer } from '../../drivers/node-tls.js'
import { frameHex } from '../../drivers/opener.js'
import { type Load, measure } from '../../figures/cpu.js'
import { say } from '../../figures/text.js'
import { createCertificate } from '../../targets/certificate.js'
import { startFloor } from '../../targets/floor.js'
import { recordReplies } from '../../targets/replies.js'
import type { Target } from '../../targets/target.js'
import { startTicketgate } from '../../targets/ticketgate.js'
import { payload } from '../../targets/wires.js'
import { type Case, type CaseStage, playRounds } from './case.js'

const handshakes = 600
const sockets = 32
const inFlight = 16
const exchanges = 30

type Secured = Target & TlsServer

const microseconds = ({ serverCpuNs, operations }: Load): number => serverCpuNs / 1000 / operations

/** Both servers with the same certificate. */
const startBoth = async ({ directory, users }: CaseStage): Promise<{ gate: Secured; floor: Secured }> => {
  const { certFile, keyFile, pem } = createCertificate(directory)
  const plain = await startTicketgate(directory, users)
  const replies = await recordReplies(plain)
  await plain.stop()
  const gate = await startTicketgate(directory, users, {
    settings: { TICKETGATE_TLS_CERT_FILE: certFile, TICKETGATE_TLS_KEY_FILE: keyFile },
  })
  const floor = await startFloor(
    { directory, users, replies },
    { FLOOR_TLS_CERT_FILE: certFile, FLOOR_TLS_KEY_FILE: keyFile },
  )
  const tls = { ca: pem }
  return { gate: { ...gate, tls }, floor: { ...floor, tls } }
}

const measureOne = async (target: Secured, count: CaseStage['count']) => {
  const size = Math.max(32, count(handshakes))
  const shake = async (resumes: boolean): Promise<number> => {
    const lines = await target.wire.lines(target, size + (resumes ? 1 : 0))
    return microseconds(await measure(target.pids, () => shakeOverTls(target, lines, resumes)))
  }
  const [full, resumed] = [await shake(false), await shake(true)]
  let message = Number.NaN
  const lines = (
    await Promise.all(Array.from({ length: sockets }, (_, n) => target.wire.lines(target, 1, `own-${n}`)))
  ).flat()
  const frames = Buffer.from(frameHex(target.wire.publication(payload, 1)).repeat(inFlight), 'hex')
  const traffic = { frames, answers: inFlight, times: Math.max(2, count(exchanges)) }
  await exchangeOverTls(target, lines, traffic, async run => {
    message = microseconds(await measure(target.pids, run))
  })
  return { full, resumed, message }
}

const rows = {
  full: `handshake, full`,
  resumed: 'handshake, session resumed',
  message: 'inbound publish',
} as const

/** What the gate costs when it ends TLS itself. */
export const tlsCase: Case = {
  name: 'tls',
  async measure(stage) {
    const { gate, floor } = await startBoth(stage)
    try {
      const played = await playRounds(stage.rounds, async round => {
        const order = round % 2 === 0 ? [gate, floor] : [floor, gate]
        const measured = new Map<Secured, Awaited<ReturnType<typeof measureOne>>>()
        for (const target of order) measured.set(target, await measureOne(target, stage.count))
        const [ours, least] = [measured.get(gate), measured.get(floor)]
        if (ours === undefined || least === undefined) throw new Error('nothing was measured')
        say(`tls  round ${round}: full ${ours.full.toFixed(0)}, resumed ${ours.resumed.toFixed(0)} µs`)
        const { full, resumed, message } = least
        return { ...ours, floorFull: full, floorResumed: resumed, floorMessage: message }
      })
      return {
        condition: `TLS 1.3, a certificate over P-256, one thread. ${handshakes} connections a round, 16 at a time: TLS handshake, upgrade with a fresh ticket, greeting, close. Messages as in the row \`inbound\`: ${sockets} sockets, 64 bytes, ${inFlight} in flight on each, acknowledged. The driver is in Node, so the servers are not saturated. The floor has the same certificate.`,
        beside: 'floor',
        figures: [
          { what: rows.full, unit: 'server CPU, µs', values: played.full, beside: played.floorFull },
          { what: rows.resumed, unit: 'server CPU, µs', values: played.resumed, beside: played.floorResumed },
          { what: rows.message, unit: 'server CPU, µs', values: played.message, beside: played.floorMessage },
        ],
      }
    } finally {
      await Promise.all([gate.stop(), floor.stop()])
    }
  },
}
