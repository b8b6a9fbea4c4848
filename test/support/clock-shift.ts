import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { temporaryDirectory } from './fixtures.js'
import { pathOf } from './programs.js'

export interface ClockShift {
  /** Environment variables for the program whose wall clock is shifted. */
  readonly env: Readonly<Record<string, string>>
  /** Sets the clock this many seconds ahead of the real one. */
  set(seconds: number): void
}

/** Lets a test set the wall clock of a program at any time. */
export const clockShift = (t: Test, seconds = 0): ClockShift => {
  const directory = temporaryDirectory(t)
  const [library, shift] = [join(directory, 'clock-shift.so'), join(directory, 'seconds')]
  const source = fileURLToPath(new URL('clock-shift.c', import.meta.url))
  execFileSync(pathOf('gcc'), ['-shared', '-fPIC', '-o', library, source])
  const set = (ahead: number): void => writeFileSync(shift, String(ahead))
  set(seconds)
  return { env: { LD_PRELOAD: library, CLOCK_SHIFT: shift }, set }
}
