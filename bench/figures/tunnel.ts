/** What the upstream server costs without a proxy, and what each way to it adds. */
export const tunnelColumns = ['direct', 'nginx', 'HAProxy', 'ticketgate', 'own channel'] as const

export interface TunnelRow {
  readonly name: string
  readonly unit: string
  /** Medians. */
  readonly values: Readonly<Partial<Record<(typeof tunnelColumns)[number], number>>>
}
