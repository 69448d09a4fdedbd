import type { FastifyRequest } from 'fastify'

/** What may be read without a key. All other routes need one, except those below the API documentation. */
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
 * The matched route, as no spelling of a path can pass for another one. Without a match the path itself is enough: the
 * answer is 404.
 */
export const pathOf = ({ routeOptions, url }: FastifyRequest): string =>
  routeOptions.url ?? url.split('?', 1)[0] ?? ''
