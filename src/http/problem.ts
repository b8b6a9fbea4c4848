import { problemOf, type RefusalCode, statusOf } from '../errors.js'
import { channelNameForm } from '../protocol.js'

const reasonPhrases: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  411: 'Length Required',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** The status line of a refusal, such as `401 Unauthorized`. */
export const statusLine = (code: RefusalCode): string => {
  const status = statusOf(code)
  return `${status} ${reasonPhrases[status] ?? 'Error'}`
}

export const problemMediaType = 'application/problem+json'

/** The body of a refusal, as text. */
export const problemBody = (code: RefusalCode, detail?: string): string =>
  JSON.stringify(problemOf(code, detail))

export const channelDetail = `A channel name is ${channelNameForm} and needs no percent-encoding.`
