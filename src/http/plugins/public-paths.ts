import type { FastifyRequest } from 'fastify'

/** What may be read without a key. A route is behind the door unless it is named here or lies below the reference. */
const PUBLIC_PATHS: ReadonlySet<string> = new Set([
  '/',
  '/health',
  '/ready',
  '/live',
  '/openapi.json',
  '/docs',
])
const PUBLIC_PREFIX = '/docs/'

export const isReading = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** @param path of a route @returns whether a request for it needs no key */
export const isOpen = (method: string, path: string): boolean =>
  isReading(method) && (PUBLIC_PATHS.has(path) || path.startsWith(PUBLIC_PREFIX))

/** Whether a request reads one of the pages that are open to all. */
export const readsPublicPath = (request: FastifyRequest): boolean => isOpen(request.method, pathOf(request))

/**
 * The route that was matched, since no spelling of a path can pass for another one then. Where none was, the path itself
 * will do: there is nothing behind it but a 404.
 */
export const pathOf = ({ routeOptions, url }: FastifyRequest): string =>
  routeOptions.url ?? url.split('?', 1)[0] ?? ''
