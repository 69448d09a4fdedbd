import type { FastifyInstance } from 'fastify'
import { isApiPath } from './error-reply.ts'

/**
 * Notes every route of the API that is registered from now on.
 *
 * @returns tells which methods there are for the path of a request; none where there is no such path
 */
export function trackMethods(app: FastifyInstance): (url: string) => readonly string[] {
  const byRoute = new Map<string, { readonly matches: RegExp; readonly methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    if (!isApiPath(url)) return
    const route = byRoute.get(url) ?? { matches: patternOf(url), methods: new Set() }
    byRoute.set(url, route)
    for (const each of [method].flat()) route.methods.add(each)
  })
  return (url) => {
    const path = pathOf(url)
    // A path may be that of several routes: POST /v1/messages/batch, and GET of a message called batch.
    const routes = [...byRoute.values()].filter(({ matches }) => matches.test(path))
    return [...new Set(routes.flatMap(({ methods }) => [...methods]))].sort()
  }
}

const patternOf = (url: string): RegExp => new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`)

function pathOf(url: string): string {
  const path = url.replace(/^https?:\/\/[^/]+/, '').split('?', 1)[0] ?? ''
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}
