import { randomBytes } from 'node:crypto'
import { altered, forgedTokens, otherSpellings, truncated } from './forgeries.js'
import type { Target } from './target.js'
import { dial, handshake, type Opened, patienceMs, requestText } from './wire.js'

/** The result of an attack. `skipped`: it needs a setting that was not given, or does not apply. */
export interface Verdict {
  readonly outcome: 'held' | 'broken' | 'skipped'
  readonly detail: string
}

/** What some attacks need besides the target. */
export interface CaseOptions {
  /** Restarts the server; resolves once it is reachable. */
  readonly restart: (() => Promise<void>) | undefined
  /** The lifetime of a credential, in seconds. */
  readonly lifetimeSeconds: number | undefined
  /** A path with `{ticket}` at which a credential of this user must not open a socket. */
  readonly forbiddenPath: string | undefined
  /** How long an unfinished handshake may keep a connection open, in seconds. */
  readonly slowSeconds: number | undefined
  /** What the server has logged so far. */
  readonly readLog: (() => Promise<string>) | undefined
}

export interface Case {
  readonly name: string
  /** What must hold, as a sentence. */
  readonly title: string
  run(target: Target, options: CaseOptions): Promise<Verdict>
}

const held = (detail = ''): Verdict => ({ outcome: 'held', detail })
const broken = (detail: string): Verdict => ({ outcome: 'broken', detail })
const skipped = (detail: string): Verdict => ({ outcome: 'skipped', detail })

const delay = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

const racers = 30

/** Presents the credentials one after another, and returns those that opened a socket. */
async function opening(target: Target, credentials: readonly string[]): Promise<string[]> {
  const opened: string[] = []
  for (const credential of credentials) if (await target.opens(credential)) opened.push(credential)
  return opened
}

const reuse: Case = {
  name: 'reuse',
  title: 'a credential opens only one socket',
  async run(target) {
    const credential = await target.credential()
    const first = await target.present(credential)
    if (!first.isOpen) return broken('a valid credential opened no socket')
    const whileOpen = await target.opens(credential)
    first.socket.destroy()
    if (whileOpen) return broken('it opened a second socket while the first was open')
    await delay(200)
    return (await target.opens(credential))
      ? broken('it opened a second socket after the first was closed')
      : held()
  },
}

const race: Case = {
  name: 'race',
  title: `if ${racers} handshakes present one credential at once, one succeeds`,
  async run(target) {
    for (let round = 1; round <= 5; round++) {
      const credential = await target.credential()
      const all = await Promise.all(Array.from({ length: racers }, () => target.present(credential)))
      for (const { socket } of all) socket.destroy()
      const { length } = all.filter(({ isOpen }) => isOpen)
      if (length > 1) return broken(`${length} of ${racers} sockets opened in round ${round}`)
    }
    return held('5 rounds')
  },
}

const spelling: Case = {
  name: 'spelling',
  title: 'a spent credential stays spent in any other encoding',
  async run(target) {
    const credential = await target.credential()
    if (!(await target.opens(credential))) return broken('a valid credential opened no socket')
    const spellings = otherSpellings(credential)
    const opened = await opening(target, spellings)
    return opened.length > 0
      ? broken(`${opened.length} of ${spellings.length} other encodings opened a socket again`)
      : held(`${spellings.length} encodings`)
  },
}

const restart: Case = {
  name: 'restart',
  title: 'a spent credential stays spent after a restart',
  async run(target, { restart: run }) {
    if (run === undefined) return skipped('needs --restart')
    const credential = await target.credential()
    if (!(await target.opens(credential))) return broken('a valid credential opened no socket')
    await run()
    return (await target.opens(credential)) ? broken('it opened a socket again') : held()
  },
}

const expiry: Case = {
  name: 'expiry',
  title: 'an expired credential opens no socket',
  async run(target, { lifetimeSeconds }) {
    if (lifetimeSeconds === undefined) return skipped('needs --lifetime')
    const credential = await target.credential()
    await delay(lifetimeSeconds * 1000 + 1100)
    return (await target.opens(credential)) ? broken(`it opened a socket after ${lifetimeSeconds} s`) : held()
  },
}

/** An attack with credentials that are derived from a valid one. */
const forgery = (name: string, title: string, make: (credential: string) => readonly string[]): Case => ({
  name,
  title,
  async run(target) {
    const forged = make(await target.credential())
    const opened = await opening(target, forged)
    return opened.length > 0
      ? broken(`${opened.length} of ${forged.length} opened a socket`)
      : held(`${forged.length} forgeries`)
  },
})

const tokenAsTicket: Case = {
  name: 'token-as-ticket',
  title: 'a token is not accepted as a ticket, nor a ticket as a token',
  async run(target) {
    if (!target.hasTickets) return skipped('tokens open sockets here')
    if (await target.opens(await target.token())) return broken('the token opened a socket')
    const { status } = await target.askForTicket(await target.credential())
    return status === 200 ? broken('a ticket was exchanged for another') : held()
  },
}

const algorithms: Case = {
  name: 'algorithms',
  title: 'a token without a valid signature is refused',
  async run(target) {
    const forged = forgedTokens(await target.token())
    if (forged.length === 0) return skipped('the token is not a JWT')
    for (const { how, token } of forged) {
      const passes = target.hasTickets
        ? (await target.askForTicket(token)).status === 200
        : await target.opens(token)
      if (passes) return broken(`a token was accepted ${how}`)
    }
    return held(`${forged.length} forgeries`)
  },
}

const crossOrigin: Case = {
  name: 'cross-origin',
  title: 'pages of other origins cannot open a socket',
  async run(target) {
    const { origin } = target
    if (origin === undefined) return skipped('needs --origin with an allowed origin')
    const foreign = [
      'https://attacker.example',
      'null',
      `${origin}.attacker.example`,
      `https://attacker.example/${origin}`,
    ]
    for (const Origin of foreign)
      if (await target.opens(await target.credential(), { Origin }))
        return broken(`Origin: ${Origin} opened a socket`)
    return held(`${foreign.length} origins`)
  },
}

const forbidden: Case = {
  name: 'wrong-channel',
  title: 'a credential opens no socket that it was not issued for',
  async run(target, { forbiddenPath }) {
    if (forbiddenPath === undefined) return skipped('needs --forbidden-path')
    const path = forbiddenPath.replace('{ticket}', await target.credential())
    const { isOpen, socket } = await handshake(
      target.url,
      path,
      target.origin === undefined ? {} : { Origin: target.origin },
    )
    socket.destroy()
    return isOpen ? broken('it opened a socket there') : held()
  },
}

const twoTickets: Case = {
  name: 'two-tickets',
  title: 'two tickets in one handshake open at most two sockets',
  async run(target) {
    const path = target.pathFor('{ticket}')
    const name = /[?&]([^=&]+)=\{ticket\}/.exec(path)?.[1]
    if (!target.hasTickets || name === undefined) return skipped('no ticket in the query')
    const tickets = [await target.credential(), await target.credential()]
    const both = target.pathFor(tickets.join(`&${name}=`))
    const headers = target.origin === undefined ? {} : { Origin: target.origin }
    let opened = 0
    for (const present of [
      () => handshake(target.url, both, headers),
      () => handshake(target.url, both, headers),
      ...tickets.map(ticket => () => target.present(ticket)),
    ] satisfies (() => Promise<Opened>)[]) {
      const { isOpen, socket } = await present()
      socket.destroy()
      if (isOpen) opened++
    }
    return opened > 2 ? broken(`${opened} sockets opened`) : held()
  },
}

const before: Case = {
  name: 'before-101',
  title: 'no WebSocket opens before the credential is checked',
  async run(target) {
    const { status, socket } = await target.present(randomBytes(24).toString('base64url'))
    socket.destroy()
    return status === 101
      ? broken('the handshake was accepted before the credential was checked')
      : held(`status ${status}`)
  },
}

const leaks: Case = {
  name: 'leaks',
  title: 'neither refusals nor the log contain a credential',
  async run(target, { readLog }) {
    const credential = await target.credential()
    await target.opens(credential)
    const refused = await target.present(credential)
    refused.socket.destroy()
    if (`${refused.head}${refused.body}`.includes(credential)) return broken('a refusal contains it')
    if (readLog === undefined) return held('replies; the log needs --log')
    await delay(500)
    const log = await readLog()
    for (const [name, secret] of [
      ['the ticket', credential],
      ['the token', await target.token()],
    ] as const)
      if (log.includes(secret)) return broken(`${name} is in the log`)
    return held('replies and log')
  },
}

const slow: Case = {
  name: 'slow',
  title: 'an unfinished handshake is ended',
  async run(target, { slowSeconds }) {
    if (slowSeconds === undefined) return skipped('needs --slow')
    const socket = dial(target.url)
    socket.write(requestText(target.url, { path: target.pathFor('x') }).slice(0, -2))
    const timer = setInterval(() => socket.write('X-A: b\r\n'), patienceMs / 5)
    const hasEnded = await new Promise<boolean>(resolve => {
      const limit = setTimeout(() => resolve(false), slowSeconds * 1000)
      socket.once('close', () => {
        clearTimeout(limit)
        resolve(true)
      })
    })
    clearInterval(timer)
    socket.destroy()
    return hasEnded ? held() : broken(`the connection was still open after ${slowSeconds} s`)
  },
}

/** All attacks, in the order in which they run. */
export const cases: readonly Case[] = [
  reuse,
  race,
  spelling,
  restart,
  expiry,
  forgery('truncated', 'a truncated credential opens no socket', truncated),
  forgery('altered', 'a credential with one changed character opens no socket', altered),
  tokenAsTicket,
  algorithms,
  crossOrigin,
  forbidden,
  twoTickets,
  before,
  leaks,
  slow,
]
