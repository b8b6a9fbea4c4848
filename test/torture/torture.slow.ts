import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

interface Outcome {
  readonly code: number
  readonly report: Readonly<Record<string, number>>
  readonly stderr: string
}

const torture = (...args: readonly string[]): Promise<Outcome> =>
  new Promise(resolve => {
    execFile(process.execPath, ['--import=tsx', main, ...args], (error, stdout, stderr) => {
      const lines = stdout.split('\n').map(line => line.split(': '))
      resolve({
        code: Number(error?.code ?? 0),
        report: Object.fromEntries(lines.map(([name = '', value]) => [name, Number(value)])),
        stderr,
      })
    })
  })

t.test('in a million presentations, no ticket is accepted twice', async t => {
  const { code, report, stderr } = await torture('--presentations', '1000000')
  t.comment(JSON.stringify(report))
  t.equal(code, 0, stderr)
  t.equal(report['double accepts'], 0)
  const least = {
    presentations: 1_000_000,
    tickets: 50_000,
    accepts: 20_000,
    'refused, replayed': 100_000,
    'refused, full': 1,
    'refused, unavailable': 1,
    'refused, ticket_expired': 1,
    'refused, ticket_predates_gate': 1,
    'refused, ticket_invalid': 1,
    'threads killed': 1,
    restarts: 1,
  }
  for (const [name, count] of Object.entries(least))
    t.ok((report[name] ?? 0) >= count, `${name}: ${report[name]}, at least ${count}`)
})

t.test('a gate that forgets spent tickets but keeps its key is detected', async t => {
  const { code, report } = await torture('--presentations', '400000', '--sabotage')
  t.equal(code, 1)
  t.ok((report['double accepts'] ?? 0) > 0, `${report['double accepts']} double accepts`)
})
