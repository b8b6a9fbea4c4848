/** Who is logged in. In memory only: another tab asks this one for it, and with the last tab it is gone. */
export interface Session {
  readonly user: string
  readonly token: string
}

type Word = { readonly type: 'ask' } | { readonly type: 'session'; readonly session: Session }

export interface SessionStore {
  readonly current: Session | undefined
  set(session: Session): void
  onChange(listener: (session: Session) => void): void
}

/** The session, shared by the tabs of this origin. */
export function createSessionStore(): SessionStore {
  const tabs = new BroadcastChannel('ticketgate-console')
  const listeners: ((session: Session) => void)[] = []
  let current: Session | undefined
  const take = (session: Session): void => {
    current = session
    for (const listener of listeners) listener(session)
  }
  tabs.onmessage = ({ data }: MessageEvent<Word>) => {
    if (data.type === 'ask' && current !== undefined) tabs.postMessage({ type: 'session', session: current })
    if (data.type === 'session' && current === undefined) take(data.session)
  }
  tabs.postMessage({ type: 'ask' } satisfies Word)
  return {
    get current() {
      return current
    },
    set: take,
    onChange(listener) {
      listeners.push(listener)
    },
  }
}
