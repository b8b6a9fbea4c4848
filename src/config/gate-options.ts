// Written by test/docs/write-options.ts.

import type { OptionValue } from './schema.js'

/**
 * Options as `createGate` takes them. Each may also be text, as in the environment: `origins:
 * ['https://a.example']` or `'https://a.example'`, `loginRate: { count: 10, seconds: 60 }`,
 * `'10/60'` or `'off'`.
 */
export interface GateOptions {
  /**
   * Address of the public listener, or the path of its Unix socket.
   *
   * Values: address, host name, or unix:/path. `TICKETGATE_HOST` if left out.
   * @default 127.0.0.1
   */
  readonly host?: OptionValue<'host'>
  /**
   * Port of the public listener; 0 takes any free port. PORT is used if this is not set.
   *
   * Values: 0 to 65535. `TICKETGATE_PORT` if left out.
   * @default 8080
   */
  readonly port?: OptionValue<'port'>
  /**
   * Directory for users, revocations and, for outside minters, the clock mark.
   *
   * Values: path. `TICKETGATE_STATE_DIR` if left out.
   * @default .ticketgate
   */
  readonly stateDir?: OptionValue<'stateDir'>
  /**
   * The console: a page at / that walks through the flow and shows live figures.
   *
   * Values: on, off. `TICKETGATE_CONSOLE` if left out.
   * @default off; on in development
   */
  readonly console?: OptionValue<'console'>
  /**
   * TLS certificate chain of the public listener, PEM; reread when it changes, and on SIGHUP.
   *
   * Values: path of a readable file. `TICKETGATE_TLS_CERT_FILE` if left out.
   * @default none
   */
  readonly tlsCertFile?: OptionValue<'tlsCertFile'>
  /**
   * Private key of that certificate, PEM, without passphrase.
   *
   * Values: path of a readable file. `TICKETGATE_TLS_KEY_FILE` if left out.
   * @default none
   */
  readonly tlsKeyFile?: OptionValue<'tlsKeyFile'>
  /**
   * Address of the admin listener, or the path of its Unix socket.
   *
   * Values: address, host name, or unix:/path. `TICKETGATE_ADMIN_HOST` if left out.
   * @default 127.0.0.1
   */
  readonly adminHost?: OptionValue<'adminHost'>
  /**
   * Port of the admin listener; 0 takes any free port.
   *
   * Values: 0 to 65535. `TICKETGATE_ADMIN_PORT` if left out.
   * @default 8081
   */
  readonly adminPort?: OptionValue<'adminPort'>
  /**
   * Bearer token of the admin listener. Required off loopback and in production, where a key with
   * too few different characters is refused.
   *
   * Values: text of 16 characters or more. `TICKETGATE_ADMIN_KEY` if left out.
   * @default none
   */
  readonly adminKey?: OptionValue<'adminKey'>
  /**
   * File with that key; reread when it changes, and on SIGHUP.
   *
   * Values: path. `TICKETGATE_ADMIN_KEY_FILE` if left out.
   * @default none
   */
  readonly adminKeyFile?: OptionValue<'adminKeyFile'>
  /**
   * The previous admin key: accepted as well, while callers change to the current one.
   *
   * Values: text of 16 characters or more. `TICKETGATE_ADMIN_KEY_PREVIOUS` if left out.
   * @default none
   */
  readonly adminKeyPrevious?: OptionValue<'adminKeyPrevious'>
  /**
   * File with the previous admin key.
   *
   * Values: path. `TICKETGATE_ADMIN_KEY_PREVIOUS_FILE` if left out.
   * @default none
   */
  readonly adminKeyPreviousFile?: OptionValue<'adminKeyPreviousFile'>
  /**
   * URL at which browsers reach this server; the url in a ticket reply starts with it. Without it:
   * the Host header in development, none in production.
   *
   * Values: http or https URL. `TICKETGATE_PUBLIC_URL` if left out.
   * @default none
   */
  readonly publicUrl?: OptionValue<'publicUrl'>
  /**
   * Secret that signs tokens (HS256); production refuses one with too few different characters.
   *
   * Values: text of 32 bytes or more. `TICKETGATE_JWT_SECRET` if left out.
   * @default in development generated at the first start and kept in the state directory; required
   * in production
   */
  readonly jwtSecret?: OptionValue<'jwtSecret'>
  /**
   * File with that secret; a trailing newline is ignored.
   *
   * Values: path. `TICKETGATE_JWT_SECRET_FILE` if left out.
   * @default none
   */
  readonly jwtSecretFile?: OptionValue<'jwtSecretFile'>
  /**
   * The previous secret: its tokens are accepted until they expire.
   *
   * Values: text of 32 bytes or more. `TICKETGATE_JWT_SECRET_PREVIOUS` if left out.
   * @default none
   */
  readonly jwtSecretPrevious?: OptionValue<'jwtSecretPrevious'>
  /**
   * File with the previous secret.
   *
   * Values: path. `TICKETGATE_JWT_SECRET_PREVIOUS_FILE` if left out.
   * @default none
   */
  readonly jwtSecretPreviousFile?: OptionValue<'jwtSecretPreviousFile'>
  /**
   * Whether users of the user file can log in, at /auth.
   *
   * Values: on, off. `TICKETGATE_LOGIN` if left out.
   * @default on; off with an identity provider
   */
  readonly login?: OptionValue<'login'>
  /**
   * Identity provider, by its name (iss); OpenID Connect Discovery finds its keys.
   *
   * Values: https URL; http on loopback. `TICKETGATE_OIDC_ISSUER` if left out.
   * @default none
   */
  readonly oidcIssuer?: OptionValue<'oidcIssuer'>
  /**
   * Keys (JWK set) of an identity provider without discovery.
   *
   * Values: https URL; http on loopback. `TICKETGATE_JWKS_URL` if left out.
   * @default none
   */
  readonly jwksUrl?: OptionValue<'jwksUrl'>
  /**
   * File with several identity providers and other issuers, YAML or JSON; reread when it changes.
   *
   * Values: path. `TICKETGATE_ISSUERS_FILE` if left out.
   * @default none
   */
  readonly issuersFile?: OptionValue<'issuersFile'>
  /**
   * The iss of our own tokens, which tokens must have. With TICKETGATE_JWKS_URL, the iss of the
   * provider, required in production.
   *
   * Values: text. `TICKETGATE_JWT_ISSUER` if left out.
   * @default none
   */
  readonly jwtIssuer?: OptionValue<'jwtIssuer'>
  /**
   * The aud of our own tokens, which tokens must have. Required in production with an identity
   * provider.
   *
   * Values: text. `TICKETGATE_JWT_AUDIENCE` if left out.
   * @default none
   */
  readonly jwtAudience?: OptionValue<'jwtAudience'>
  /**
   * With an identity provider: where the user of a token without a channels claim may publish,
   * unless there are rules for its issuer. ${user} stands for the user, if the name is a channel
   * name.
   *
   * Values: comma list of channel patterns, as chat.* or user.${user}. `TICKETGATE_DEFAULT_PUBLISH`
   * if left out.
   * @default none
   */
  readonly defaultPublish?: OptionValue<'defaultPublish'>
  /**
   * The same for subscribing.
   *
   * Values: comma list of channel patterns, as chat.* or user.${user}.
   * `TICKETGATE_DEFAULT_SUBSCRIBE` if left out.
   * @default none
   */
  readonly defaultSubscribe?: OptionValue<'defaultSubscribe'>
  /**
   * Lifetime of a token issued here.
   *
   * Values: 1 to 31536000 seconds. `TICKETGATE_TOKEN_TTL_SECONDS` if left out.
   * @default 900, or the longest allowed if that is less
   */
  readonly tokenTtlSeconds?: OptionValue<'tokenTtlSeconds'>
  /**
   * Longest lifetime of a token of any issuer.
   *
   * Values: 1 to 31536000 seconds. `TICKETGATE_TOKEN_MAX_TTL_SECONDS` if left out.
   * @default 86400
   */
  readonly tokenMaxTtlSeconds?: OptionValue<'tokenMaxTtlSeconds'>
  /**
   * Largest token, in the Authorization header or in the body of a ticket request.
   *
   * Values: 1024 to 65536 bytes. `TICKETGATE_MAX_TOKEN_BYTES` if left out.
   * @default 16384
   */
  readonly maxTokenBytes?: OptionValue<'maxTokenBytes'>
  /**
   * Keys of outside minters, by id. The server signs its own tickets with a key of its own, or with
   * the first of these if the replay cache is in Redis.
   *
   * Values: id:base64url[,id:base64url…]. `TICKETGATE_TICKET_KEYS` if left out.
   * @default none
   */
  readonly ticketKeys?: OptionValue<'ticketKeys'>
  /**
   * File with those keys; reread when it changes, and on SIGHUP.
   *
   * Values: path. `TICKETGATE_TICKET_KEYS_FILE` if left out.
   * @default none
   */
  readonly ticketKeysFile?: OptionValue<'ticketKeysFile'>
  /**
   * Name of this gate, carried in its tickets. Required with ticket keys, unless the replay cache
   * is in Redis.
   *
   * Values: 1 to 32 of a-z 0-9 -. `TICKETGATE_NODE` if left out.
   * @default none
   */
  readonly node?: OptionValue<'node'>
  /**
   * How far the clocks of outside minters and other token issuers may be off, and, for tickets,
   * those of nodes on one Redis.
   *
   * Values: 0 to 300 seconds. `TICKETGATE_CLOCK_SKEW_SECONDS` if left out.
   * @default 5
   */
  readonly clockSkewSeconds?: OptionValue<'clockSkewSeconds'>
  /**
   * Lifetime of a ticket.
   *
   * Values: 1 to 3600 seconds. `TICKETGATE_TICKET_TTL_SECONDS` if left out.
   * @default 10
   */
  readonly ticketTtlSeconds?: OptionValue<'ticketTtlSeconds'>
  /**
   * Origins that may connect, including those of apps and browser extensions, such as
   * capacitor://localhost. Without a list: the same origin and, in development, localhost.
   *
   * Values: comma list of origins, as https://example.com. `TICKETGATE_ORIGINS` if left out.
   * @default none
   */
  readonly origins?: OptionValue<'origins'>
  /**
   * File with those origins, one per line; reread when it changes, and on SIGHUP.
   *
   * Values: path. `TICKETGATE_ORIGINS_FILE` if left out.
   * @default none
   */
  readonly originsFile?: OptionValue<'originsFile'>
  /**
   * What a ticket is bound to, besides its channel.
   *
   * Values: comma list of origin, address. `TICKETGATE_BIND` if left out.
   * @default none
   */
  readonly bind?: OptionValue<'bind'>
  /**
   * How many bits of the address a ticket is bound to.
   *
   * Values: IPv4 bits, IPv6 bits (8 to 32, 33 to 128). `TICKETGATE_BIND_ADDRESS_BITS` if left out.
   * @default 32,64
   */
  readonly bindAddressBits?: OptionValue<'bindAddressBits'>
  /**
   * Proxies whose X-Forwarded-For, -Proto and -Host headers and PROXY protocol (version 2) are
   * trusted.
   *
   * Values: comma list of CIDRs or addresses. `TICKETGATE_TRUSTED_PROXIES` if left out.
   * @default none
   */
  readonly trustedProxies?: OptionValue<'trustedProxies'>
  /**
   * File with the users and their password hashes.
   *
   * Values: path. `TICKETGATE_USERS_FILE` if left out.
   * @default users.json in the state directory
   */
  readonly usersFile?: OptionValue<'usersFile'>
  /**
   * Where spent tickets are remembered: in memory that all threads share, in the memory of one
   * thread, or in Redis for all gates.
   *
   * Values: memory, shared, redis. `TICKETGATE_REPLAY` if left out.
   * @default shared; memory for one thread with ticket keys
   */
  readonly replay?: OptionValue<'replay'>
  /**
   * How many spent tickets are remembered at once; at least ticket rate × ticket lifetime. Redis
   * has its own limit.
   *
   * Values: 100 to 16000000 tickets. `TICKETGATE_REPLAY_CAPACITY` if left out.
   * @default 1000000
   */
  readonly replayCapacity?: OptionValue<'replayCapacity'>
  /**
   * Redis or Valkey: carries messages between gates, and holds the replay cache if that is redis.
   *
   * Values: redis, rediss, redis+unix, redis+sentinel or rediss+sentinel URL.
   * `TICKETGATE_REDIS_URL` if left out.
   * @default none
   */
  readonly redisUrl?: OptionValue<'redisUrl'>
  /**
   * File with that URL, which has a password.
   *
   * Values: path. `TICKETGATE_REDIS_URL_FILE` if left out.
   * @default none
   */
  readonly redisUrlFile?: OptionValue<'redisUrlFile'>
  /**
   * CA certificates for Redis over TLS, PEM, instead of the well-known ones.
   *
   * Values: path of a readable file. `TICKETGATE_REDIS_CA_FILE` if left out.
   * @default none
   */
  readonly redisCaFile?: OptionValue<'redisCaFile'>
  /**
   * Client certificate for Redis over TLS, PEM.
   *
   * Values: path of a readable file. `TICKETGATE_REDIS_CERT_FILE` if left out.
   * @default none
   */
  readonly redisCertFile?: OptionValue<'redisCertFile'>
  /**
   * Private key of that certificate, PEM, without passphrase.
   *
   * Values: path of a readable file. `TICKETGATE_REDIS_KEY_FILE` if left out.
   * @default none
   */
  readonly redisKeyFile?: OptionValue<'redisKeyFile'>
  /**
   * checked: Redis must report that it evicts nothing (maxmemory-policy noeviction). trusted: you
   * vouch for that if it does not report it.
   *
   * Values: checked, trusted. `TICKETGATE_REDIS_EVICTION` if left out.
   * @default checked
   */
  readonly redisEviction?: OptionValue<'redisEviction'>
  /**
   * Threads that serve the public port. More than one require the replay cache shared or redis.
   *
   * Values: 1 to 64 threads. `TICKETGATE_THREADS` if left out.
   * @default 1
   */
  readonly threads?: OptionValue<'threads'>
  /**
   * Open sockets; 0 = no cap.
   *
   * Values: 0 to 16000000 connections. `TICKETGATE_MAX_CONNECTIONS` if left out.
   * @default what the file-descriptor limit allows
   */
  readonly maxConnections?: OptionValue<'maxConnections'>
  /**
   * Open sockets of one user; 0 = no cap.
   *
   * Values: 0 to 16000000 connections. `TICKETGATE_MAX_CONNECTIONS_PER_USER` if left out.
   * @default 0
   */
  readonly maxConnectionsPerUser?: OptionValue<'maxConnectionsPerUser'>
  /**
   * Open sockets from one address; 0 = no cap.
   *
   * Values: 0 to 16000000 connections. `TICKETGATE_MAX_CONNECTIONS_PER_ADDRESS` if left out.
   * @default 0
   */
  readonly maxConnectionsPerAddress?: OptionValue<'maxConnectionsPerAddress'>
  /**
   * Messages from one socket; the burst is twice the count.
   *
   * Values: COUNT/SECONDS (1 to 1000000, 1 to 86400), or off. `TICKETGATE_MESSAGE_RATE` if left
   * out.
   * @default 100/1
   */
  readonly messageRate?: OptionValue<'messageRate'>
  /**
   * Logins from one address; the burst is the count. A successful one counts a tenth.
   *
   * Values: COUNT/SECONDS (1 to 1000000, 1 to 86400), or off. `TICKETGATE_LOGIN_RATE` if left out.
   * @default 10/60; 600/60 in development
   */
  readonly loginRate?: OptionValue<'loginRate'>
  /**
   * Failed logins of one user: from each address that it has logged in from before, and from all
   * others together; the burst is the count. Off if the login rate is off and this is not given.
   *
   * Values: COUNT/SECONDS (1 to 1000000, 1 to 86400), or off. `TICKETGATE_LOGIN_FAILURE_RATE` if
   * left out.
   * @default 20/1200; 600/60 in development
   */
  readonly loginFailureRate?: OptionValue<'loginFailureRate'>
  /**
   * Tickets for one user; the burst is the count.
   *
   * Values: COUNT/SECONDS (1 to 1000000, 1 to 86400), or off. `TICKETGATE_TICKET_RATE` if left out.
   * @default 60/60
   */
  readonly ticketRate?: OptionValue<'ticketRate'>
  /**
   * Largest message from a client.
   *
   * Values: 1024 to 16777216 bytes. `TICKETGATE_MAX_MESSAGE_BYTES` if left out.
   * @default 16384
   */
  readonly maxMessageBytes?: OptionValue<'maxMessageBytes'>
  /**
   * How much may wait for a slow reader before the socket is closed.
   *
   * Values: 1024 to 1073741824 bytes. `TICKETGATE_MAX_BACKPRESSURE_BYTES` if left out.
   * @default 65536, or the largest message if that is larger
   */
  readonly maxBackpressureBytes?: OptionValue<'maxBackpressureBytes'>
  /**
   * permessage-deflate: shared takes no memory and compresses each message by itself; dedicated
   * takes 4 KB per socket and compresses better. Each message is compressed once per subscriber.
   *
   * Values: off, shared, dedicated. `TICKETGATE_COMPRESSION` if left out.
   * @default off
   */
  readonly compression?: OptionValue<'compression'>
  /**
   * First-message auth: how long a socket without a ticket may take to authenticate; 0 = off, no
   * such sockets.
   *
   * Values: 0 to 60 seconds. `TICKETGATE_FIRST_MESSAGE_SECONDS` if left out.
   * @default 0
   */
  readonly firstMessageSeconds?: OptionValue<'firstMessageSeconds'>
  /**
   * Whether /verify accepts tickets for another WebSocket server, at the request of a proxy.
   *
   * Values: on, off. `TICKETGATE_VERIFY` if left out.
   * @default off
   */
  readonly verify?: OptionValue<'verify'>
  /**
   * How many events are kept for readers of /events that reconnect; 400 bytes each.
   *
   * Values: 100 to 1000000 events. `TICKETGATE_EVENT_BUFFER` if left out.
   * @default 10000
   */
  readonly eventBuffer?: OptionValue<'eventBuffer'>
  /**
   * Tunnels to upstream WebSocket servers, such as /docs/*=ws://127.0.0.1:1234. Settings: channel,
   * subprotocol, message-rate, max-message-bytes.
   *
   * Values: comma list of PATH=URL[;SETTING=VALUE…]. `TICKETGATE_TUNNELS` if left out.
   * @default none
   */
  readonly tunnels?: OptionValue<'tunnels'>
  /**
   * Request headers of the client that tunnels forward.
   *
   * Values: comma list of header names. `TICKETGATE_TUNNEL_HEADERS` if left out.
   * @default cookie,user-agent,accept-language,origin,traceparent
   */
  readonly tunnelHeaders?: OptionValue<'tunnelHeaders'>
  /**
   * File with the key that signs X-Ticket-Assertion for upstream servers: a private key signs with
   * ES256, a secret with HS256.
   *
   * Values: path of a P-256 key in PEM, or of a secret of 32 bytes or more.
   * `TICKETGATE_TUNNEL_ASSERTION_KEY_FILE` if left out.
   * @default none
   */
  readonly tunnelAssertionKeyFile?: OptionValue<'tunnelAssertionKeyFile'>
  /**
   * Time from SIGTERM to exit, while sockets are closed in batches.
   *
   * Values: 1 to 3600 seconds. `TICKETGATE_DRAIN_SECONDS` if left out.
   * @default 30; 1 in development
   */
  readonly drainSeconds?: OptionValue<'drainSeconds'>
  /**
   * File with settings that can change without a restart, one NAME=value per line: the login, login
   * failure, ticket and message rates, the caps on connections, and the log level; reread when it
   * changes, and on SIGHUP.
   *
   * Values: path. `TICKETGATE_SETTINGS_FILE` if left out.
   * @default none
   */
  readonly settingsFile?: OptionValue<'settingsFile'>
  /**
   * Lowest level to log.
   *
   * Values: trace, debug, info, warn, error, fatal. `TICKETGATE_LOG_LEVEL` if left out.
   * @default info
   */
  readonly logLevel?: OptionValue<'logLevel'>
}
