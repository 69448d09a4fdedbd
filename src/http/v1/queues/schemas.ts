import { type TProperties, Type } from '@sinclair/typebox'
import { DelayIn, EXAMPLE_TIME, MessageId, NAME, TimeOut } from '../../validation/fields.schemas.ts'
import { Problem } from '../problem.schemas.ts'

export const QueueParams = Type.Object({ queue: Type.String({ ...NAME, examples: ['mails'] }) })

const LockMs = Type.Integer({
  minimum: 1_000,
  maximum: 43_200_000,
  description: 'for how long they are leased from now, ms: 1000 to 43200000 (LOCK_TTL_MS unless given)',
  examples: [30_000],
})

export const ClaimBody = Type.Object(
  {
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: '1 to 1000 messages (1 unless given)',
        examples: [10],
      }),
    ),
    lockMs: Type.Optional(LockMs),
    waitMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 30_000,
        description: 'how long to wait while there is none, ms: 0 to 30000 (0 unless given)',
        examples: [20_000],
      }),
    ),
  },
  {
    title: 'Claim',
    additionalProperties: false,
    description: 'a JSON object with any of limit, lockMs and waitMs, or nothing at all',
    examples: [{ limit: 10, lockMs: 30_000, waitMs: 20_000 }],
  },
)

const EXAMPLE_LEASE = { id: 'invoice-4711-reminder', token: '0.1893488400012.12.17.prvklR_L1X3_U7AzBVj5fA' }

const Token = Type.String({
  minLength: 1,
  maxLength: 200,
  description: 'the token that came with the message when it was claimed',
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
    at: TimeOut('when it was due; a retry does not change it'),
    attempt: Type.Integer({
      description: '1, and one more for each delivery before it that failed or was lost',
      examples: [1],
    }),
    claim: Type.Integer({
      description: 'a number that only grows for a message, so that a late twin can be refused',
      examples: [4712],
    }),
    lateMs: Type.Integer({ description: 'how late this delivery begins, ms', examples: [3] }),
  },
  { title: 'ClaimedMessage', description: 'a message that is leased', examples: [EXAMPLE_CLAIMED] },
)

export const ClaimReply = Type.Object(
  {
    messages: Type.Array(ClaimedMessage, {
      description: 'what was claimed, none if nothing came',
      examples: [[EXAMPLE_CLAIMED]],
    }),
  },
  {
    title: 'ClaimedMessages',
    description: 'what was claimed',
    examples: [{ messages: [EXAMPLE_CLAIMED] }],
  },
)

const refs = {
  messages: Type.Array(
    Type.Object(
      { id: MessageId, token: Token },
      {
        title: 'Lease',
        additionalProperties: false,
        description: 'an object with id and token, as they were claimed',
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
      DelayIn("until they may be claimed again (the wait of each message's retry unless given)"),
    ),
  },
  {
    title: 'Release',
    additionalProperties: false,
    description: 'a JSON object with messages, and delay if wanted',
    examples: [{ messages: [EXAMPLE_LEASE], delay: '90s' }],
  },
)

export const ExtendBody = Type.Object(
  { ...refs, lockMs: Type.Optional(LockMs) },
  {
    title: 'Extend',
    additionalProperties: false,
    description: 'a JSON object with messages, and lockMs if wanted',
    examples: [{ messages: [EXAMPLE_LEASE], lockMs: 60_000 }],
  },
)

const Lost = Type.Array(MessageId, {
  description: 'the ids of those that are not leased with their token any more; nothing was done with them',
  examples: [[EXAMPLE_LEASE.id]],
})
const Count = (description: string) => Type.Integer({ minimum: 0, description, examples: [1] })

const acknowledged = { acknowledged: Count('how many were acknowledged'), lost: Lost }
const released = { released: Count('how many were released'), lost: Lost }
const extended = { extended: Count('how many are leased for longer'), lost: Lost }

export const AcknowledgeReply = Type.Object(acknowledged, {
  title: 'Acknowledged',
  description: 'how many, and which were not',
  examples: [{ acknowledged: 2, lost: [EXAMPLE_LEASE.id] }],
})
export const ReleaseReply = Type.Object(released, {
  title: 'Released',
  description: 'how many, and which were not',
  examples: [{ released: 2, lost: [EXAMPLE_LEASE.id] }],
})
export const ExtendReply = Type.Object(extended, {
  title: 'Extended',
  description: 'how many, and which were not',
  examples: [{ extended: 2, lost: [EXAMPLE_LEASE.id] }],
})

/** What a client is told that has lost every lease it named. */
export const ALL_LOST = {
  status: 409,
  code: 'leases-lost',
  detail: 'messages: all leases were lost',
}
const EXAMPLE_PROBLEM = {
  type: `urn:carillon:problem:${ALL_LOST.code}`,
  title: 'Conflict',
  status: ALL_LOST.status,
  detail: ALL_LOST.detail,
}

const lostProblem = <T extends TProperties>(title: string, members: T, example: object) =>
  Type.Object(
    { ...Problem.properties, ...members },
    {
      title,
      description: 'every lease was lost (RFC 9457)',
      examples: [{ ...EXAMPLE_PROBLEM, ...example, lost: [EXAMPLE_LEASE.id] }],
    },
  )
export const AcknowledgeLost = lostProblem('AcknowledgeLost', acknowledged, { acknowledged: 0 })
export const ReleaseLost = lostProblem('ReleaseLost', released, { released: 0 })
export const ExtendLost = lostProblem('ExtendLost', extended, { extended: 0 })
