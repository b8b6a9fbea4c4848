import { SocketEvents } from '../../src/socket/socket-events.js'
import { SocketIds } from '../../src/socket/socket-ids.js'
import { EventSink } from '../../src/telemetry/events.js'

/** A sink without readers, for parts that report events. */
export const noEvents = (): EventSink =>
  new EventSink(
    () => {},
    () => 0,
  )

export const noSocketEvents = (): SocketEvents => new SocketEvents(noEvents(), new SocketIds())
