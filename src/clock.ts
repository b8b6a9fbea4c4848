/**
 * The one clock. Unix time in milliseconds (with fractions), anchored once on the monotonic clock, so that it
 * never goes backwards within a process: stepping the system clock revives no ticket.
 */
export type Clock = () => number

const anchorMs = performance.timeOrigin

export const clock: Clock = () => anchorMs + performance.now()

/** Unix seconds, rounded down, as clients and JWTs have them. */
export const toSeconds = (unixMs: number): number => Math.floor(unixMs / 1000)
