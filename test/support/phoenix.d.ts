/** The part of Phoenix's client that tests use. The package has no types. */
declare module 'phoenix' {
  export interface Push {
    receive(status: string, callback: (response: unknown) => void): Push
  }
  export interface Channel {
    join(): Push
    on(event: string, callback: (payload: unknown) => void): number
    push(event: string, payload: object): Push
  }
  export class Socket {
    constructor(endpoint: string, options?: object)
    connect(): void
    disconnect(): void
    channel(topic: string): Channel
    onOpen(callback: () => void): string
    onError(callback: (event: { readonly error?: unknown }) => void): string
  }
}
