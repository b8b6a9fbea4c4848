/**
 * What has been opened so far. A start that fails halfway must leave nothing open, or its process
 * would not exit.
 */
export interface Closers {
  /** Adds what was opened, if anything, and returns it. */
  add<T extends { close(): void } | undefined>(opened: T): T
  /** Closes everything once, the most recent first. */
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
 * Opens something in steps. If one fails, closes what was opened before.
 * @throws the error of the step
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
