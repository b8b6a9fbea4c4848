/**
 * The variables that can name a proxy for requests to identity providers. `NO_PROXY` exempts hosts.
 */
export const proxyVariables = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const
