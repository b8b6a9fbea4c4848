// Any Node with ES modules must be able to load this file, so it avoids newer syntax.

export type StopSignal = 'SIGTERM' | 'SIGINT'

const signals: readonly StopSignal[] = ['SIGTERM', 'SIGINT']

let handle: (signal: StopSignal) => void = () => {}

/**
 * Handles SIGTERM and SIGINT from now on: exits with the code from `codeOf`, until another handler
 * takes over. Process 1 of a container needs a handler to receive these signals at all.
 */
export function exitOnStopSignals(codeOf: (signal: StopSignal) => number): void {
  handle = signal => process.exit(codeOf(signal))
  for (const signal of signals) process.on(signal, () => handle(signal))
}

/** Replaces the handler. */
export function onStopSignal(handler: (signal: StopSignal) => void): void {
  handle = handler
}
