import { readdirSync, readFileSync } from 'node:fs'

/** The source of a server's CPU time, printed with the results. */
export type CpuSource = 'schedstat' | 'stat'

/** A driver's own figures of a run. */
export interface DriverRun {
  /** Operations with the right response. */
  readonly operations: number
  /** CPU time of the driver, all threads, in nanoseconds. */
  readonly driverCpuNs: number
  /** Time from the first operation to the end of the last, in nanoseconds. */
  readonly wallNs: number
}

/** The cost of one run of one row. */
export interface Load extends DriverRun {
  /** CPU time of the server's processes, user and kernel, in nanoseconds. */
  readonly serverCpuNs: number
}

const nsPerTick = 10_000_000 // USER_HZ is 100 on every Linux that Node runs on

const threadNs = (pid: number | 'self', thread: number | string): number =>
  Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1)[0])

/**
 * Nanoseconds each live thread has run, from the scheduler. A thread that has ended no longer
 * counts.
 */
const schedstatNs = (pid: number | 'self'): number =>
  readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + threadNs(pid, thread), 0)

/** User and system time in clock ticks of 10 ms, from fields 14 and 15 of proc_pid_stat(5). */
const statNs = (path: string): number => {
  const line = readFileSync(path, 'utf8')
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * nsPerTick
}

const findSource = (): CpuSource => {
  try {
    if (schedstatNs('self') > 0) return 'schedstat'
  } catch {
    // A kernel without CONFIG_SCHED_INFO has no such file.
  }
  try {
    statNs('/proc/self/stat')
    return 'stat'
  } catch {
    throw new Error('The bench reads CPU times from /proc, which this system does not have: run it on Linux')
  }
}

/** Throws if there is no /proc. */
export const cpuSource: CpuSource = findSource()

/** CPU time a process has used so far, user and kernel, in nanoseconds. */
const processCpuNs = (pid: number): number =>
  cpuSource === 'schedstat' ? schedstatNs(pid) : statNs(`/proc/${pid}/stat`)

/** Likewise for the first thread of a process only: in Node, the one that runs JavaScript. */
export const mainThreadCpuNs = (pid: number): number =>
  cpuSource === 'schedstat' ? threadNs(pid, pid) : statNs(`/proc/${pid}/task/${pid}/stat`)

/** Resident memory of a process, in bytes. */
export const residentBytes = (pid: number): number => {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1]) * 1024
}

/**
 * Starts timing this process as the driver. Returns a function that stops it and returns the
 * figures.
 */
export const startRun = (): ((operations: number) => DriverRun) => {
  const start = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  return operations => {
    const { user, system } = process.cpuUsage(cpu)
    return {
      operations,
      driverCpuNs: (user + system) * 1000,
      wallNs: Number(process.hrtime.bigint() - start),
    }
  }
}

/** Runs a driver against a server's processes and adds their cost. */
export const measure = async (
  pids: readonly number[],
  drive: () => Promise<DriverRun>,
  cpuNs: (pid: number) => number = processCpuNs,
): Promise<Load> => {
  const total = (): number => pids.reduce((sum, pid) => sum + cpuNs(pid), 0)
  const before = total()
  const run = await drive()
  return { ...run, serverCpuNs: total() - before }
}
