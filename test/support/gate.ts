import type { Test } from 'tap'
import type { createGate, Gate, GateHandlers, GateOptions } from '../../src/index.js'
import { adminKey, jwtSecret, temporaryDirectory } from './fixtures.js'

// Uses the build: the threads of a pool start from a file next to it.
const built = new URL('../../dist/index.js', import.meta.url).href

/**
 * Creates an embedded gate on free ports, in this process, that does not listen yet. Closed after
 * the test.
 */
export async function openGate(t: Test, options: GateOptions & GateHandlers = {}): Promise<Gate> {
  const library: { readonly createGate: typeof createGate } = await import(built)
  const gate = await library.createGate({
    port: 0,
    adminPort: 0,
    adminKey,
    jwtSecret,
    stateDir: temporaryDirectory(t),
    ticketRate: 'off',
    ticketTtlSeconds: 600,
    drainSeconds: 1,
    logLevel: 'fatal',
    console: 'off',
    ...options,
  })
  t.teardown(() => gate.close())
  return gate
}
