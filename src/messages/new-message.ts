import type { Due, MessageOptions } from '../domain/message.ts'

export interface NewMessage {
  /** the client's own; without one, one is made and equal messages are different ones */
  readonly id?: string
  readonly due: Due
  /** JSON text without white space outside strings */
  readonly payload: string
  readonly options?: MessageOptions
  /** refuse it if its due time has come */
  readonly future?: boolean
}

export interface Scheduled {
  readonly id: string
  /** when it will be delivered, epoch ms */
  readonly dueAt: number
  /** by Redis's clock, epoch ms */
  readonly createdAt: number
  /** a message of this id and content was there already, and nothing was stored */
  readonly duplicate: boolean
}
