/** The variables that may name a proxy for requests to identity providers. `NO_PROXY` exempts hosts from it. */
export const proxyVariables = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'] as const
