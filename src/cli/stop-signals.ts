// Read by any Node with ES modules, however old, so without newer syntax.

export type StopSignal = 'SIGTERM' | 'SIGINT'

const signals: readonly StopSignal[] = ['SIGTERM', 'SIGINT']

let handle: (signal: StopSignal) => void = () => {}

/**
 * Handles SIGTERM and SIGINT from now on: ends the process, with the exit code that `codeOf` gives, until a handler
 * takes over. Without a handler of its own, process 1 of a container does not see these signals at all.
 */
export function exitOnStopSignals(codeOf: (signal: StopSignal) => number): void {
  handle = signal => process.exit(codeOf(signal))
  for (const signal of signals) process.on(signal, () => handle(signal))
}

/** Puts `handler` in the place of the one before. */
export function onStopSignal(handler: (signal: StopSignal) => void): void {
  handle = handler
}
