import { type TProperties, Type } from '@sinclair/typebox'
import { NAME } from '../../../domain/names.ts'
import { toProblem } from '../../errors/error-reply.ts'
import type { ErrorReply } from '../../errors/http-error.ts'
import { DelayIn, EXAMPLE_TIME, MessageId, TimeOut } from '../../validation/fields.schemas.ts'
import { Problem } from '../problem.schemas.ts'

export const QueueParams = Type.Object({ queue: Type.String({ ...NAME, examples: ['mails'] }) })

const LockMs = Type.Integer({
  minimum: 1_000,
  maximum: 43_200_000,
  description: '1000 to 43200000 milliseconds that the lease lasts from now (default LOCK_TTL_MS)',
  examples: [30_000],
})

export const ClaimBody = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: '1 to 1000 messages (default 1)',
        examples: [10],
      }),
    ),
    lockMs: Type.Optional(LockMs),
    waitMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 30_000,
        description: '0 to 30000 milliseconds to wait for a message (default 0)',
        examples: [20_000],
      }),
    ),
  },
  {
    title: 'Claim',
    additionalProperties: false,
    description: 'a JSON object with any of limit, lockMs and waitMs, or empty',
    examples: [{ limit: 10, lockMs: 30_000, waitMs: 20_000 }],
  },
)

const EXAMPLE_LEASE = { id: 'invoice-4711-reminder', token: '0.1893488400012.12.17.prvklR_L1X3_U7AzBVj5fA' }

const Token = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'the token of the lease, from the answer of claim',
  examples: [EXAMPLE_LEASE.token],
})

const EXAMPLE_CLAIMED = {
  ...EXAMPLE_LEASE,
  payload: { text: 'good morning' },
  at: EXAMPLE_TIME,
  attempt: 1,
  claim: 4712,
  lateMs: 3,
}

const ClaimedMessage = Type.Object(
  {
    id: MessageId,
    token: Token,
    payload: Type.Unknown({ description: 'any JSON value', examples: [{ text: 'good morning' }] }),
    at: TimeOut('the due time; a retry does not change it'),
    attempt: Type.Integer({
      description: '1, and one more for each failed delivery and each expired claim before',
      examples: [1],
    }),
    claim: Type.Integer({
      description: 'a fencing token that grows with each claim of the message',
      examples: [4712],
    }),
    lateMs: Type.Integer({ description: 'how late this delivery is, ms', examples: [3] }),
  },
  { title: 'ClaimedMessage', description: 'a message that is leased', examples: [EXAMPLE_CLAIMED] },
)

export const ClaimReply = Type.Object(
  {
    messages: Type.Array(ClaimedMessage, {
      description: 'the claimed messages; empty if none became due',
      examples: [[EXAMPLE_CLAIMED]],
    }),
  },
  {
    title: 'ClaimedMessages',
    description: 'the claimed messages',
    examples: [{ messages: [EXAMPLE_CLAIMED] }],
  },
)

/** Counts whole characters, and refuses control characters and half a surrogate pair. */
const REASON =
  '^(?:[\\uD800-\\uDBFF][\\uDC00-\\uDFFF]|[^\\u0000-\\u001F\\u007F-\\u009F\\u2028\\u2029\\uD800-\\uDFFF]){1,200}$'

const refs = {
  messages: Type.Array(
    Type.Object(
      { id: MessageId, token: Token },
      {
        title: 'Lease',
        additionalProperties: false,
        description: 'an object with id and token, from the answer of claim',
        examples: [EXAMPLE_LEASE],
      },
    ),
    {
      minItems: 1,
      maxItems: 1_000,
      description: 'an array of 1 to 1000 objects with id and token',
      examples: [[EXAMPLE_LEASE]],
    },
  ),
}

export const AcknowledgeBody = Type.Object(refs, {
  title: 'Acknowledge',
  additionalProperties: false,
  description: 'a JSON object with messages',
  examples: [{ messages: [EXAMPLE_LEASE] }],
})

export const ReleaseBody = Type.Object(
  {
    ...refs,
    delay: Type.Optional(
      DelayIn(
        "it counts from now (default: the back-off of each message's retry policy; 0 without a failure)",
      ),
    ),
    failed: Type.Optional(
      Type.Boolean({
        description: 'true or false: whether the release counts as a failed delivery (default true)',
        examples: [false],
      }),
    ),
  },
  {
    title: 'Release',
    additionalProperties: false,
    description: 'a JSON object with messages, and optionally delay and failed',
    examples: [
      { messages: [EXAMPLE_LEASE], delay: '90s' },
      { messages: [EXAMPLE_LEASE], failed: false },
    ],
  },
)

export const RejectBody = Type.Object(
  {
    ...refs,
    reason: Type.Optional(
      Type.String({
        pattern: REASON,
        description: '1 to 200 characters on one line (default rejected)',
        examples: ['no such customer'],
      }),
    ),
  },
  {
    title: 'Reject',
    additionalProperties: false,
    description: 'a JSON object with messages, and optionally reason',
    examples: [{ messages: [EXAMPLE_LEASE], reason: 'no such customer' }],
  },
)

export const ExtendBody = Type.Object(
  { ...refs, lockMs: Type.Optional(LockMs) },
  {
    title: 'Extend',
    additionalProperties: false,
    description: 'a JSON object with messages, and optionally lockMs',
    examples: [{ messages: [EXAMPLE_LEASE], lockMs: 60_000 }],
  },
)

const Lost = Type.Array(MessageId, {
  description: 'the ids whose lease was lost; nothing was changed for them',
  examples: [[EXAMPLE_LEASE.id]],
})
const Count = (description: string) => Type.Integer({ minimum: 0, description, examples: [1] })

const acknowledged = { acknowledged: Count('number of acknowledged messages'), lost: Lost }
const released = { released: Count('number of released messages'), lost: Lost }
const rejected = { rejected: Count('number of messages that became dead letters'), lost: Lost }
const extended = { extended: Count('number of extended leases'), lost: Lost }

const replyOf = <T extends TProperties>(title: string, members: T, example: object) =>
  Type.Object(members, {
    title,
    description: 'the number of messages, and the lost leases',
    examples: [{ ...example, lost: [EXAMPLE_LEASE.id] }],
  })
export const AcknowledgeReply = replyOf('Acknowledged', acknowledged, { acknowledged: 2 })
export const ReleaseReply = replyOf('Released', released, { released: 2 })
export const RejectReply = replyOf('Rejected', rejected, { rejected: 2 })
export const ExtendReply = replyOf('Extended', extended, { extended: 2 })

/** What a client is told that has lost every lease it named. */
export const ALL_LOST = {
  status: 409,
  code: 'leases_lost',
  type: 'leases-lost',
  detail: 'messages: all leases were lost',
} as const satisfies ErrorReply
const EXAMPLE_PROBLEM = toProblem(ALL_LOST)

const lostProblem = <T extends TProperties>(title: string, members: T, example: object) =>
  Type.Object(
    { ...Problem.properties, ...members },
    {
      title,
      description: 'all leases were lost (RFC 9457)',
      examples: [{ ...EXAMPLE_PROBLEM, ...example, lost: [EXAMPLE_LEASE.id] }],
    },
  )
export const AcknowledgeLost = lostProblem('AcknowledgeLost', acknowledged, { acknowledged: 0 })
export const ReleaseLost = lostProblem('ReleaseLost', released, { released: 0 })
export const RejectLost = lostProblem('RejectLost', rejected, { rejected: 0 })
export const ExtendLost = lostProblem('ExtendLost', extended, { extended: 0 })
