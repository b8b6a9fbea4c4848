import { readdir } from 'node:fs/promises'
import { descriptorLimit } from '../config/descriptors.js'

/** What the system knows about this process. */

/** NaN if unknown: reading it needs a file descriptor, and none may be left. */
export function residentBytes(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return Number.NaN
  }
}

export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/**
 * How many file descriptors are open. NaN if none is left to find out, undefined on systems other
 * than Linux.
 */
export async function openDescriptors(): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    return (await readdir('/proc/self/fd')).length
  } catch {
    return Number.NaN
  }
}

/**
 * How many file descriptors may be open. Undefined if there is no limit. Takes some milliseconds.
 */
export const maxDescriptors = descriptorLimit
