const intervalMs = 250

/**
 * Stops this process, as SIGTERM does, when its parent is gone. npm runs a script in a shell and
 * stops only the shell. A server started by that shell would keep running, and keep the port.
 */
export function stopWithParent(): void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, intervalMs)
  timer.unref()
}
