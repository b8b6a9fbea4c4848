import { init } from 'echarts'
import type { Unit } from '../figures/sample.js'
import type { Curve, Results, Summary } from '../figures/summary.js'
import { digits } from '../figures/text.js'

const width = 860
const palette: Readonly<Record<string, string>> = {
  ticketgate: '#0b7285',
  'ticketgate, 2 threads': '#66a3ad',
  'ticketgate, routed': '#0b7285',
  'ticketgate on redis': '#a61e4d',
  floor: '#868e96',
  'bare floor': '#ced4da',
  express: '#e8a33d',
  fastify: '#c2255c',
  go: '#5c7cfa',
  redis: '#2f9e44',
  socketio: '#845ef7',
}

/** A bar chart: some rows of the table, targets side by side. */
interface BarChart {
  readonly file: string
  readonly title: string
  readonly unit: Unit
  readonly rows: readonly string[]
}

const barCharts: readonly BarChart[] = [
  {
    file: 'ticket',
    title: 'Taking a ticket',
    unit: 'server CPU, µs',
    rows: ['ticket', 'ticket, new token', 'ticket, pipelined'],
  },
  {
    file: 'handshake',
    title: 'Opening a socket with a ticket, or being refused',
    unit: 'server CPU, µs',
    rows: ['handshake', 'refused replay', 'refused forgery', 'ticket and handshake'],
  },
  {
    file: 'messages',
    title: 'Messages of 64 bytes: a delivery to one of 1,000, and a publication',
    unit: 'server CPU, µs',
    rows: [
      'fan-out, one in flight',
      'fan-out, bursts',
      'fan-out, by the admin API',
      'fan-out, MessagePack',
      'fan-out, MessagePack, bursts',
      'inbound publish',
    ],
  },
  { file: 'login', title: 'Login', unit: 'server CPU, µs', rows: ['login, hash aside'] },
  {
    file: 'memory',
    title: 'Memory of an idle connection',
    unit: 'RSS, bytes',
    rows: ['idle connection'],
  },
  {
    file: 'latency',
    title: 'Time to answer, 99th percentile from when the request was due',
    unit: 'p99, ms',
    rows: [
      'ticket at 2,000/s',
      'handshake at 1,000/s',
      'ticket at 500/s, quiet',
      'ticket at 500/s, login storm',
    ],
  },
]

/** The caption of every chart: how to repeat it. */
const subtext = ({ run }: Results): string =>
  [
    `${run.command} · ${String(run.date).slice(0, 10)} · ${run.machine}`,
    `Node ${run.node} · uWebSockets.js ${run.uWebSockets} · ticketgate ${run.ticketgate}`,
  ].join('\n')

const frame = (results: Results, title: string, unit: string): Readonly<Record<string, unknown>> => ({
  animation: false,
  backgroundColor: '#ffffff',
  title: {
    text: title,
    subtext: `${unit} · less is better\n${subtext(results)}`,
    left: 12,
    top: 8,
    textStyle: { fontSize: 16 },
    subtextStyle: { fontSize: 11, lineHeight: 15 },
  },
  legend: { bottom: 6, itemWidth: 12, itemHeight: 10, itemGap: 28 },
})

const render = (height: number, option: Readonly<Record<string, unknown>>): string => {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height })
  chart.setOption(option)
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${svg}\n`
}

const bars = (results: Results, { title, unit, rows }: BarChart, shown: readonly Summary[]): string => {
  const present = rows.filter(row => shown.some(one => one.row === row))
  const targets = [...new Set(shown.map(one => one.target))]
  const series = targets.map(target => ({
    name: target,
    type: 'bar',
    barGap: '10%',
    itemStyle: { color: palette[target] },
    label: {
      show: true,
      position: 'right',
      fontSize: 10,
      formatter: ({ value }: { value: number | null }) => (value === null ? '' : digits(value)),
    },
    data: present.map(
      row => shown.find(one => one.row === row && one.target === target)?.value.median ?? null,
    ),
  }))
  const least = floorOf(shown)
  const height = 160 + present.length * (16 + targets.length * 15)
  return render(height, {
    ...frame(results, title, `${unit}, logarithmic`),
    grid: { left: 210, right: 60, top: 90, bottom: 60 },
    xAxis: { type: 'log', min: least, startValue: least, axisLabel: { fontSize: 10 } },
    yAxis: { type: 'category', inverse: true, data: present, axisTick: { show: false } },
    series,
  })
}

/** The start of a logarithmic axis: the power of ten at or below half the least value. */
const floorOf = (shown: readonly Summary[]): number =>
  10 ** Math.floor(Math.log10(Math.min(...shown.map(one => one.value.median)) / 2))

const lines = (results: Results, { name, unit, over, axis, sizes, series }: Curve): string =>
  render(340, {
    ...frame(results, name, unit),
    xAxis: {
      type: axis,
      name: over,
      nameLocation: 'middle',
      nameGap: 24,
      min: sizes[0],
      max: sizes.at(-1),
    },
    yAxis: { type: 'value', min: 0 },
    grid: { left: 70, right: 40, top: 90, bottom: 70 },
    series: Object.entries(series).map(([label, values]) => ({
      name: label,
      type: 'line',
      symbolSize: 6,
      itemStyle: { color: palette[label] },
      data: values.map((value, i) => [sizes[i], value]),
    })),
  })

/** All charts of the results, by file name. */
export const drawCharts = (results: Results): ReadonlyMap<string, string> => {
  const charts = new Map<string, string>()
  for (const chart of barCharts) {
    const shown = results.summary.filter(one => chart.rows.includes(one.row) && one.unit === chart.unit)
    if (shown.length > 0) charts.set(`${chart.file}.svg`, bars(results, chart, shown))
  }
  results.curves.forEach((curve, i) => {
    charts.set(`scaling-${i + 1}.svg`, lines(results, curve))
  })
  return charts
}
