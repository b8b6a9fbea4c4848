import { consolePaths, type Figures } from '../figures.js'
import { byId, make } from './dom.js'
import { sparklineOf } from './sparkline.js'

const everyMs = 1000
const shape = { width: 60, height: 20 }

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0)

/** A figure, shown as its value or as its increase per second. */
interface Measure {
  readonly title: string
  readonly unit: string
  readonly isRate: boolean
  readonly isBad?: boolean
  readonly read: (figures: Figures) => number
}

const measures: readonly Measure[] = [
  { title: 'Connections', unit: 'open', isRate: false, read: figures => figures.connections },
  { title: 'Tickets', unit: '/s', isRate: true, read: figures => figures.ticketsIssued },
  { title: 'Handshakes', unit: '/s', isRate: true, read: figures => figures.handshakesAccepted },
  {
    title: 'Refusals',
    unit: '/s',
    isRate: true,
    isBad: true,
    read: figures => sum(figures.handshakesRefused) + sum(figures.requestsRefused),
  },
  { title: 'Messages', unit: '/s', isRate: true, read: figures => figures.messagesReceived },
]

const svgNamespace = 'http://www.w3.org/2000/svg'

function svg(tag: string, attributes: Readonly<Record<string, string>>): SVGElement {
  const element = document.createElementNS(svgNamespace, tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

/** One card: a number, and its course over the last minute. */
function createChart({ title, unit, isBad }: Measure): {
  element: Element
  push(value: number | undefined): void
} {
  const values: (number | undefined)[] = []
  const number = make('span', {}, '0')
  const area = svg('path', { class: 'area' })
  const line = svg('path', { class: 'line' })
  const { width, height } = shape
  const chart = svg('svg', {
    class: 'sparkline',
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: 'none',
    role: 'img',
  })
  chart.append(svg('path', { class: 'base', d: `M0 ${height}H${width}` }), area, line)
  return {
    element: make(
      'section',
      { class: isBad ? 'card bad' : 'card', 'aria-label': title },
      make('h3', {}, title),
      make('p', { class: 'number' }, number, ' ', make('small', {}, unit)),
      chart,
    ),
    push(value) {
      values.push(value)
      if (values.length > width + 1) values.shift()
      const sparkline = sparklineOf(values, shape)
      line.setAttribute('d', sparkline.line)
      area.setAttribute('d', sparkline.area)
      const now = value === undefined ? '–' : textOf(value)
      const most = textOf(Math.max(0, ...values.map(each => each ?? 0)))
      number.textContent = now
      chart.setAttribute('aria-label', `${title}: now ${now} ${unit}, at most ${most} in the last minute`)
    },
  }
}

const textOf = (value: number): string =>
  value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString('en') : value.toFixed(1)

/** Events of the server that the figures reveal. */
export interface ServerWatch {
  /** The server does not reply. */
  onDown(): void
  /** The server replies again. @param hasRestarted whether its counts started over */
  onBack(hasRestarted: boolean): void
  /** The page was hidden for a while, so the server may have restarted. */
  onReturn(): void
}

/** The figures beside the flow, updated once a second while the page is visible. */
export function setUpFigures(watch: ServerWatch): void {
  const charts = measures.map(measure => ({ measure, chart: createChart(measure) }))
  byId('figures', HTMLDivElement).replaceChildren(
    make('div', { class: 'charts' }, ...charts.map(({ chart }) => chart.element)),
  )
  const pulse = byId('pulse', HTMLSpanElement)
  let last: { figures: Figures; at: number } | undefined
  const lastMinute: Figures[] = []
  let wasHidden = false

  function tellChange(figures: Figures | undefined): void {
    const wasDown = pulse.dataset.state === 'down'
    if (figures === undefined) {
      if (!wasDown) watch.onDown()
      return
    }
    const isNew = hasRestarted(figures, lastMinute.at(-1))
    if (isNew) lastMinute.length = 0
    if (isNew || wasDown) watch.onBack(isNew)
  }

  function draw(figures: Figures | undefined): void {
    const at = performance.now()
    tellChange(figures)
    for (const { measure, chart } of charts) chart.push(measured(measure, figures, at))
    pulse.dataset.state = figures === undefined ? 'down' : 'up'
    last = figures === undefined ? undefined : { figures, at }
    if (figures !== undefined) {
      drawCache(figures)
      lastMinute.push(figures)
      if (lastMinute.length > shape.width + 1) lastMinute.shift()
      drawCodes(figures, lastMinute[0] ?? figures)
    }
  }

  function measured({ isRate, read }: Measure, figures: Figures | undefined, at: number): number | undefined {
    if (figures === undefined) return undefined
    if (!isRate) return read(figures)
    if (last === undefined) return undefined
    // A restarted server counts from zero.
    return Math.max(0, read(figures) - read(last.figures)) / ((at - last.at) / 1000)
  }

  async function poll(): Promise<void> {
    if (document.hidden) {
      wasHidden = true
    } else {
      draw(await takeFigures())
      if (wasHidden) watch.onReturn()
      wasHidden = false
    }
    setTimeout(poll, everyMs)
  }

  void poll()
}

/**
 * Whether a count that only grows has fallen: the server may restart between two requests. Counts
 * of a thread also fall when another thread replies.
 */
const hasRestarted = (now: Figures, before: Figures = now): boolean =>
  now.scope === 'server' &&
  (now.tokensIssued < before.tokensIssued ||
    now.ticketsIssued < before.ticketsIssued ||
    now.handshakesAccepted < before.handshakesAccepted)

async function takeFigures(): Promise<Figures | undefined> {
  try {
    const reply = await fetch(consolePaths.figures)
    return reply.ok ? ((await reply.json()) as Figures) : undefined
  } catch {
    return undefined
  }
}

function drawCache({ replay, scope }: Figures): void {
  const { size, highWater, capacity } = replay
  const words = (count: number): string => count.toLocaleString('en')
  byId('cache-size', HTMLSpanElement).textContent = words(size)
  byId('cache', HTMLMeterElement).value = size / capacity
  byId('cache-detail', HTMLParagraphElement).textContent =
    `of ${words(capacity)}; at most ${words(highWater)} so far`
  if (scope === 'thread')
    byId('scope', HTMLParagraphElement).textContent =
      'The thread that serves this page, over the last minute. All threads share the replay cache.'
}

/** Every refusal by its code: how many in the last minute, and in total. */
function drawCodes(now: Figures, before: Figures): void {
  const rows = (['handshakesRefused', 'requestsRefused'] as const).flatMap(kind =>
    Object.entries(now[kind]).map(([code, total]) => ({
      code,
      total,
      kind: kind === 'handshakesRefused' ? 'handshakes' : 'requests',
      lately: Math.max(0, total - (before[kind][code] ?? 0)),
    })),
  )
  byId('codes', HTMLTableSectionElement).replaceChildren(
    ...rows
      .sort((a, b) => b.total - a.total)
      .map(({ code, total, kind, lately }) =>
        make(
          'tr',
          {},
          make('th', { scope: 'row', title: kind }, code),
          make('td', {}, lately.toLocaleString('en')),
          make('td', {}, total.toLocaleString('en')),
        ),
      ),
  )
}
