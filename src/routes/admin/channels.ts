import { isChannelName, routes } from '../../protocol.js'
import type { ChannelPage, ChannelQuery } from '../../socket/channel-list.js'
import type { AdminRoute } from './admin-route.js'
import { Parameters } from './parameters.js'

/** The channels that have subscribers in any thread. */
export interface SubscribedChannels {
  channels(query: ChannelQuery): Promise<ChannelPage>
}

/** `GET /channels`: a page of the channels that have subscribers, with their number. */
export const channelsRoute = (subscribed: SubscribedChannels): AdminRoute => ({
  path: routes.channels,
  methods: ['GET', 'HEAD'],
  async handler({ query }) {
    const parameters = new Parameters(query, ['prefix', 'after', 'limit'])
    const { channels, hasMore } = await subscribed.channels({
      prefix: parameters.text('prefix', isChannelName, 'the start of a channel') ?? '',
      after: parameters.text('after', isChannelName, 'a channel, as next has it'),
      limit: parameters.limit(),
    })
    return { body: JSON.stringify({ channels, next: hasMore ? channels.at(-1)?.channel : undefined }) }
  },
})
