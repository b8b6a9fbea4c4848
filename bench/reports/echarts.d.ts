/** The part of ECharts 6 that the bench uses, so that it compiles without bench/node_modules. */
declare module 'echarts' {
  interface Chart {
    setOption(option: Readonly<Record<string, unknown>>): void
    renderToSVGString(): string
    dispose(): void
  }
  export function init(
    element: null,
    theme: null,
    options: { renderer: 'svg'; ssr: true; width: number; height: number },
  ): Chart
}
