/** What has been opened so far. A start that fails half way leaves nothing open, or its process would never end. */
export interface Closers {
  /** Keeps what was opened, if anything was, and hands it on. */
  add<T extends { close(): void } | undefined>(opened: T): T
  /** Closes all, the latest first; once. */
  close(): void
}

export function createClosers(): Closers {
  const opened: { close(): void }[] = []
  return {
    add(one) {
      if (one !== undefined) opened.push(one)
      return one
    },
    close() {
      for (const one of opened.splice(0).reverse()) one.close()
    },
  }
}

/**
 * Opens something in steps; where one fails, what was opened before is closed.
 * @throws what the step has thrown
 */
export async function openInSteps<T>(open: (closers: Closers) => Promise<T>): Promise<T> {
  const closers = createClosers()
  try {
    return await open(closers)
  } catch (error) {
    closers.close()
    throw error
  }
}
