import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyRequest {
    /** the path below which a proxy that is trusted publishes this server, such as `/carillon`; else empty */
    readonly publicPath: string
    /** where clients reach this server, such as `https://example.com/carillon`; no slash at its end */
    readonly publicUrl: string
  }
}

export interface PublicUrlOptions {
  /** whether a proxy with this address is to be believed */
  readonly isTrusted: (address: string) => boolean
}

/** What can be a path, and in no other place mean anything else. */
const PATH = /^(?:\/[A-Za-z0-9._~-]+)+\/?$/
/** What can be an address. */
const HOST = /^[\w.:[\]-]+$/

/** Tells where clients reach this server, which only a proxy may know: by X-Forwarded-Prefix, -Host and -Proto. */
export const publicUrl = fp<PublicUrlOptions>(
  async (app, { isTrusted }) => {
    const pathOf = ({ headers, raw }: FastifyRequest): string => {
      const prefix = headers['x-forwarded-prefix']
      if (typeof prefix !== 'string' || !PATH.test(prefix)) return ''
      return isTrusted(raw.socket.remoteAddress ?? '') ? prefix.replace(/\/$/, '') : ''
    }
    app.decorateRequest('publicPath', {
      getter() {
        return pathOf(this)
      },
    })
    app.decorateRequest('publicUrl', {
      getter() {
        // The Host header is the caller's word.
        const host = HOST.test(this.host) ? this.host : 'localhost:3000'
        return `${this.protocol === 'https' ? 'https' : 'http'}://${host}${pathOf(this)}`
      },
    })
  },
  { name: 'public-url' },
)
