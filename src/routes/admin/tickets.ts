import type { BackEndIssuer } from '../../admission/back-end-issuer.js'
import { Refusal } from '../../errors.js'
import { parseJsonObjects } from '../../http/body.js'
import { refuseUnknown } from '../../http/unknown-names.js'
import { routes } from '../../protocol.js'
import type { AdminRoute } from './admin-route.js'

const mostAtOnce = 100

/**
 * `POST /tickets`: issues one ticket, or a list of them, for users whom the back end has
 * authenticated.
 */
export const ticketsRoute = (issuer: Pick<BackEndIssuer, 'issue'>): AdminRoute => ({
  path: routes.tickets,
  methods: ['POST'],
  async handler(head, body) {
    refuseUnknown('parameter', new URLSearchParams(head.query).keys(), [])
    const asked = parseJsonObjects(body, head)
    const isList = Array.isArray(asked)
    const specs = isList ? asked : [asked]
    if (specs.length > mostAtOnce || specs.length === 0)
      throw new Refusal('bad_request', { detail: `A list has 1 to ${mostAtOnce} tickets.` })
    const issued = await issuer.issue(specs)
    if ('fault' in issued)
      throw new Refusal('bad_request', { detail: `${isList ? `[${issued.at}].` : ''}${issued.fault}.` })
    return { body: JSON.stringify(isList ? issued : issued[0]) }
  },
})
