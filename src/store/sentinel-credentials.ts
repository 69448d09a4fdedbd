import { type SentinelAddress, type SentinelConnectionOptions, SentinelConnector } from 'ioredis'
import type { Credentials } from './redis-url.ts'

type Emit = Parameters<SentinelConnector['connect']>[0]

/**
 * Makes a connector class that asks each sentinel without credentials, and again with these if it answers NOAUTH.
 * A sentinel without a password never gets one.
 */
export function sentinelsThatMayWant({ username, password }: Credentials) {
  return class extends SentinelConnector {
    /** the sentinels that answered NOAUTH, as `host:port` */
    readonly #wanting = new Set<string>()
    /** the sentinel that is being asked */
    #asked = ''

    constructor(options: unknown) {
      super(options as SentinelConnectionOptions)
      const { sentinelIterator } = this
      const next = sentinelIterator.next.bind(sentinelIterator)
      // The connector reads its options for each sentinel, right after it has taken it from here.
      sentinelIterator.next = () => {
        const result = next()
        this.#asks(result.value)
        return result
      }
    }

    override connect(emit: Emit): ReturnType<SentinelConnector['connect']> {
      this.#wanting.clear()
      let untried = false
      return super.connect((type, error) => {
        if (type === 'sentinelError') {
          // One that refused them is asked without them next, as all are.
          const isNew = !this.#wanting.delete(this.#asked) && error.message.includes('NOAUTH')
          if (isNew) this.#wanting.add(this.#asked)
          untried ||= isNew
        }
        // That none was reached is no failure before the credentials were tried.
        if (type === 'error' && untried) untried = false
        else emit(type, error)
      })
    }

    #asks(sentinel: Partial<SentinelAddress> | undefined): void {
      this.#asked = `${sentinel?.host}:${sentinel?.port}`
      const wants = this.#wanting.has(this.#asked)
      this.options.sentinelUsername = wants ? username : undefined
      this.options.sentinelPassword = wants ? password : undefined
    }
  }
}
