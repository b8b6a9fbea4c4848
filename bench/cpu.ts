import { readdirSync, readFileSync } from 'node:fs'

/** Where the figures of a server's CPU time come from; printed with the results. */
export type CpuSource = 'schedstat' | 'stat'

/** What one run of one row cost. */
export interface Sample {
  /** Operations that were answered as they must be. */
  readonly operations: number
  /** CPU time of the server process, user and kernel, all threads, in nanoseconds. */
  readonly serverCpuNs: number
  /** CPU time of the driver (this process, all threads), in nanoseconds. */
  readonly driverCpuNs: number
  /** Time from the first operation to the end of the last, in nanoseconds. */
  readonly wallNs: number
}

/** What a driver reports of its own side of a run. */
export type DriverRun = Omit<Sample, 'serverCpuNs'>

const nsPerTick = 10_000_000 // USER_HZ is 100 on every Linux that Node runs on

/** Nanoseconds each live thread has run, from the scheduler. A thread that has ended no longer counts. */
const schedstatNs = (pid: number | 'self'): number =>
  readdirSync(`/proc/${pid}/task`)
    .map(thread => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'))
    .reduce((sum, line) => sum + Number(line.split(' ', 1)[0]), 0)

/** User and system time in clock ticks of 10 ms, from fields 14 and 15 of proc_pid_stat(5). */
const statNs = (pid: number | 'self'): number => {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8')
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
    statNs('self')
    return 'stat'
  } catch {
    throw new Error('The bench reads CPU times from /proc, which this system does not have: run it on Linux')
  }
}

/** Throws where there is no /proc. */
export const cpuSource: CpuSource = findSource()

/** CPU time a process has used so far, user and kernel, in nanoseconds. */
export const processCpuNs = (pid: number): number =>
  cpuSource === 'schedstat' ? schedstatNs(pid) : statNs(pid)

/** Starts timing the driver; the returned function ends it and gives the run's figures. */
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

/** Runs a driver against a process and adds what it cost there. */
export const measure = async (pid: number, drive: () => Promise<DriverRun>): Promise<Sample> => {
  const before = processCpuNs(pid)
  const run = await drive()
  return { ...run, serverCpuNs: processCpuNs(pid) - before }
}
