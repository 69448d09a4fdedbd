import { fastifyCors as cors } from '@fastify/cors'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { ErrorReply } from '../errors/http-error.ts'
import { sendError } from './errors.ts'
import {
  type Authority,
  isEntryFor,
  isLoopbackName,
  isOriginOf,
  parseAuthority,
  parseOrigin,
} from './hosts.ts'
import { pathOf, readsPublicPath } from './public-paths.ts'

export interface OriginsOptions {
  /** whether only loopback names and `allowedHosts` are served: without keys, any browser on this machine has access */
  readonly checkHosts: boolean
  /** additional names of this server */
  readonly allowedHosts: readonly Authority[]
  /** origins whose pages may use the API, as browsers write them */
  readonly corsOrigins: readonly string[]
}

/** Health checks often use an address instead of a name. */
const ANY_HOST: ReadonlySet<string> = new Set(['/health', '/ready', '/live'])

const METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE']
const EXPOSED_HEADERS = ['ETag', 'Location', 'Retry-After']
/** For how long a browser need not ask again what it may do, s. */
const PREFLIGHT_MAX_AGE_S = 600

/**
 * Protects the service from pages of other sites, which a user's browser may have open:
 *
 * - A page can give its own name this machine's address (DNS rebinding). The request's Host is then that name.
 * - A page can send requests to any other host. Browsers add the Origin except to a simple GET, and newer ones add
 *   Sec-Fetch-Site to all requests.
 *
 * Clients that are not browsers send neither header and are not affected. `same-site`, which includes other ports of
 * this host, is judged by its Origin. Requests are rejected before the body is read, and before any other error.
 */
export const origins = fp<OriginsOptions>(
  async (app, { checkHosts, allowedHosts, corsOrigins }) => {
    const mayUse = new Set(corsOrigins)
    const isServed = (host: string) => {
      const authority = parseAuthority(host)
      if (authority === undefined) return false
      return isLoopbackName(authority.name) || allowedHosts.some((entry) => isEntryFor(entry, authority))
    }

    let lastServed: string | undefined
    const wrongHost = (request: FastifyRequest): ErrorReply | undefined => {
      for (const host of hostsOf(request)) {
        if (host === lastServed) continue
        if (!isServed(host)) return notServed(host)
        lastServed = host
      }
      return hasSeveralHosts(request) ? SEVERAL_HOSTS : undefined
    }
    const ofHost = (request: FastifyRequest): ErrorReply | undefined => {
      const errorReply = wrongHost(request)
      return errorReply === undefined || ANY_HOST.has(pathOf(request)) ? undefined : errorReply
    }

    const isOwn = (text: string, request: FastifyRequest) => {
      const origin = parseOrigin(text)
      if (origin === undefined) return false
      const hosts = hostsOf(request).map(parseAuthority)
      return [...hosts, ...allowedHosts].some((host) => host !== undefined && isOriginOf(origin, host))
    }
    const ofOrigin = (request: FastifyRequest): ErrorReply | undefined => {
      const { origin, 'sec-fetch-site': site } = request.headers
      if (origin === undefined && site !== 'cross-site') return undefined
      if ((origin !== undefined && mayUse.has(origin)) || readsPublicPath(request)) return undefined
      if (origin !== undefined && !isOwn(origin, request)) {
        return refused(`origin: ${origin} is neither this server's nor in CORS_ORIGINS`)
      }
      return site === 'cross-site'
        ? refused('sec-fetch-site: cross-site requests need an origin in CORS_ORIGINS')
        : undefined
    }

    app.addHook('onRequest', (request, reply, done) => {
      const errorReply = (checkHosts ? ofHost(request) : undefined) ?? ofOrigin(request)
      if (errorReply === undefined) done()
      else sendError(request, reply, errorReply)
    })
    if (corsOrigins.length === 0) return

    // Behind the check, and before that for keys: a browser asks for leave without one.
    await app.register(cors, {
      origin: (origin, answer) => answer(null, origin !== undefined && mayUse.has(origin)),
      methods: METHODS,
      exposedHeaders: EXPOSED_HEADERS,
      maxAge: PREFLIGHT_MAX_AGE_S,
      strictPreflight: false,
    })
  },
  { name: 'origins', dependencies: ['error-mapper'] },
)

const refused = (detail: string): ErrorReply => ({ status: 403, detail })
const notServed = (host: string): ErrorReply =>
  parseAuthority(host) === undefined
    ? refused('host: must be a host name or address, with an optional port')
    : refused(`host: ${host} is not allowed: without API_KEYS, only loopback names and ALLOWED_HOSTS are`)
const SEVERAL_HOSTS: ErrorReply = { status: 400, detail: 'host: must be given once' }

/**
 * The hosts that a request says it is for: that of its target if it is a whole URL, else the Host header, and what a
 * proxy that is trusted says it was. None where there is no Host header, as no browser leaves it out.
 */
function hostsOf({ raw, host: outermost }: FastifyRequest): string[] {
  const { url = '', headers } = raw
  const [, ofTarget] = url.startsWith('/') ? [] : (/^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url) ?? [])
  const hosts = [
    ...(ofTarget === undefined ? [] : [ofTarget]),
    ...(headers.host === undefined ? [] : [headers.host]),
  ]
  return outermost === '' || hosts.includes(outermost) ? hosts : [...hosts, outermost]
}

/** Node uses the first one; a proxy in between may have used another. */
function hasSeveralHosts({ raw: { rawHeaders } }: FastifyRequest): boolean {
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts > 1
}
