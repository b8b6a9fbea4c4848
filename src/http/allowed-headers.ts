const always = ['authorization', 'content-type']

// What proxies tell us by: a page has no say in it.
const reserved = /^(?:forwarded$|x-forwarded-|x-real-ip$|x-original-|x-auth-request-|x-ticket-)/

const fieldName = /^[a-z0-9!#$%&'*+.^_`|~-]+$/

/**
 * The value of `Access-Control-Allow-Headers`. A page of an allowed origin may send whatever its
 * scripts add: those that trace requests add fields of their own (`traceparent`, `baggage`,
 * `sentry-trace`, `x-datadog-*`), and one that is refused stops the request.
 * @param requested what the page asks for, in `Access-Control-Request-Headers`
 */
export function allowedHeaders(requested: string): string {
  const names = requested
    .toLowerCase()
    .split(',')
    .map(name => name.trim())
  const others = names.filter(name => fieldName.test(name) && !reserved.test(name))
  return [...new Set([...always, ...others])].join(', ')
}
