import { type Static, type TSchema, Type } from '@sinclair/typebox'

const EXAMPLE_TIME = '2030-01-01T09:00:00.000Z'

const oneOf = <T extends string>(words: readonly T[], description: string, example: T) =>
  Type.Unsafe<T>({
    type: 'string',
    enum: [...words],
    description: `${description}: ${words.join(', ')}`,
    examples: [example],
  })

/** TypeBox checks what Type.Unsafe only describes for the document. */
const words = <T extends string>(all: readonly [T, ...T[]], description: string) =>
  Type.Union(
    all.map((word) => Type.Literal(word)),
    { description: `${description}: one of ${all.join(', ')}`, examples: [all[0]] },
  )

const nullable = <T extends TSchema>(schema: T, description: string, examples: readonly unknown[]) =>
  Type.Union([schema, Type.Null()], { description, examples })

/** A time on its way in. Like all of a request, it is described in words that can follow "must be". */
const TimeIn = (more: string) =>
  Type.Union([Type.String(), Type.Integer()], {
    description: `ISO 8601 with an offset or Z, or epoch milliseconds (an integer)${more}`,
    examples: [EXAMPLE_TIME, 1893488400000],
  })
const At = TimeIn('; a time that has come means now')
const NotAfter = TimeIn('; later than this it is too late to deliver, see onLate')

/** A time on its way out. */
const TimeOut = (description: string) =>
  Type.String({
    format: 'date-time',
    description: `${description}; ISO 8601 UTC with milliseconds`,
    examples: [EXAMPLE_TIME],
  })

const Delay = Type.Union([Type.Integer({ minimum: 0 }), Type.String({ pattern: '^\\d{1,15}[smhd]$' })], {
  description:
    'whole milliseconds, 0 or more, or digits and one of s, m, h, d, as "90s"; counted from when Redis stores it',
  examples: ['90s', 5000],
})

export const CLIENT_ID = '^(?!\\.{1,2}$)[A-Za-z0-9._:-]{1,128}$'

const Id = Type.String({
  pattern: CLIENT_ID,
  description: '1 to 128 of A-Z a-z 0-9 . _ : - (but not . or ..)',
  examples: ['invoice-4711-reminder'],
})

const Payload = Type.Unknown({ description: 'any JSON value', examples: [{ text: 'good morning' }] })

const Destination = Type.Object(
  { type: Type.Literal('console', { description: '"console"', examples: ['console'] }) },
  {
    title: 'Destination',
    additionalProperties: false,
    description: 'where it goes: {"type":"console"}',
    examples: [{ type: 'console' }],
  },
)

/** Whole characters, whether a pattern is read with the u flag or not, and no halves of one. */
const TAG = {
  pattern: '^(?:[\\uD800-\\uDBFF][\\uDC00-\\uDFFF]|[^\\uD800-\\uDFFF]){1,64}$',
}

const Tag = Type.String({
  ...TAG,
  description: 'a tag of 1 to 64 characters',
  examples: ['invoices'],
})
const Tags = Type.Array(Tag, {
  maxItems: 10,
  description: 'up to 10 strings of 1 to 64 characters',
  examples: [['invoices']],
})

const Retry = Type.Object(
  {
    attempts: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: 'deliveries at most, the first included: 1 to 1000',
        examples: [5],
      }),
    ),
    minMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_592_000_000,
        description: 'the first wait, ms: 1 to 2592000000',
        examples: [1_000],
      }),
    ),
    maxMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 2_592_000_000,
        description: 'the longest wait, ms: 1 to 2592000000',
        examples: [3_600_000],
      }),
    ),
    factor: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: 100,
        description: 'by how much each wait is longer: 1 to 100',
        examples: [2],
      }),
    ),
    jitter: Type.Optional(words(['full', 'none'], 'how waits are spread')),
  },
  {
    title: 'Retry',
    additionalProperties: false,
    description: 'how failed deliveries are tried again',
    examples: [{ attempts: 5, minMs: 1_000, maxMs: 3_600_000, factor: 2, jitter: 'full' }],
  },
)

const ON_LATE = ['deliver', 'drop', 'dead-letter'] as const
const OnLate = words(ON_LATE, 'what becomes of it if it could not be delivered by notAfter')

export const NewMessageBody = Type.Object(
  {
    id: Type.Optional(Id),
    at: Type.Optional(At),
    delay: Type.Optional(Delay),
    payload: Payload,
    destination: Type.Optional(Destination),
    tags: Type.Optional(Tags),
    retry: Type.Optional(Retry),
    notAfter: Type.Optional(NotAfter),
    onLate: Type.Optional(OnLate),
  },
  {
    title: 'NewMessage',
    additionalProperties: false,
    description:
      'a JSON object: a message with its payload and at most one of at and delay; with neither it is due now',
    examples: [{ at: EXAMPLE_TIME, payload: { text: 'good morning' }, tags: ['greetings'] }],
  },
)
export type NewMessageBody = Static<typeof NewMessageBody>

export const PatchBody = Type.Object(
  {
    at: Type.Optional(At),
    delay: Type.Optional(Delay),
    payload: Type.Optional(Payload),
    destination: Type.Optional(Destination),
    tags: Type.Optional(Tags),
    retry: Type.Optional(
      nullable(Retry, 'how failed deliveries are tried again, or null for the default', [
        { attempts: 5 },
        null,
      ]),
    ),
    notAfter: Type.Optional(
      nullable(NotAfter, 'a time as in at, or null to remove it', [EXAMPLE_TIME, null]),
    ),
    onLate: Type.Optional(
      nullable(OnLate, 'deliver, drop or dead-letter, or null to remove it', ['drop', null]),
    ),
  },
  {
    title: 'MessagePatch',
    additionalProperties: false,
    minProperties: 1,
    description: 'a JSON object with one or more fields to change, and at most one of at and delay',
    examples: [{ delay: '2h' }],
  },
)
export type PatchBody = Static<typeof PatchBody>

const STATUSES = ['scheduled', 'claimed', 'delivered', 'dropped', 'dead'] as const
const Status = oneOf(STATUSES, 'where it is in its life', 'scheduled')

const EXAMPLE_MESSAGE = {
  id: '~0VknCBoMfN7U',
  at: EXAMPLE_TIME,
  status: 'scheduled',
  payload: { text: 'good morning' },
  destination: { type: 'console' },
  tags: ['greetings'],
  attempts: 0,
  recoveries: 0,
  version: 1,
  createdAt: '2029-12-24T18:30:00.000Z',
}

/** A message as it is answered. */
export const MessageReply = Type.Object(
  {
    id: Type.String({
      description: "the client's id, or a server-made one, which begins with ~",
      examples: ['~0VknCBoMfN7U'],
    }),
    at: TimeOut('when it is or was due; a retry does not change it'),
    status: Status,
    payload: Type.Optional(
      Type.Unknown({
        description: 'any JSON value; left out where payloadOmitted',
        examples: [{ text: 'good morning' }],
      }),
    ),
    payloadOmitted: Type.Optional(
      Type.Literal(true, { description: 'the history keeps no payload over 1 KiB', examples: [true] }),
    ),
    destination: Destination,
    tags: Tags,
    retry: Type.Optional(Retry),
    notAfter: Type.Optional(TimeOut('when it is too late to deliver it')),
    onLate: Type.Optional(OnLate),
    attempts: Type.Integer({ description: 'failed deliveries', examples: [0] }),
    recoveries: Type.Integer({ description: 'deliveries lost with their server', examples: [0] }),
    version: Type.Integer({ description: 'from 1, one more for each change', examples: [1] }),
    createdAt: TimeOut('when it was accepted'),
    nextAttemptAt: Type.Optional(TimeOut('when a failed delivery is tried again')),
    finishedAt: Type.Optional(TimeOut('when it was delivered, dropped or given up')),
    lateMs: Type.Optional(
      Type.Integer({ description: 'how late its delivery began, or it was dropped, ms', examples: [1] }),
    ),
  },
  { title: 'Message', description: 'a message', examples: [EXAMPLE_MESSAGE] },
)
export type MessageReply = Static<typeof MessageReply>

const ALWAYS = ['id', 'status'] as const

/** A message, or, where the history has forgotten it, what is still known. */
export const KnownReply = Type.Composite(
  [
    Type.Pick(MessageReply, ALWAYS),
    Type.Partial(Type.Omit(MessageReply, ALWAYS)),
    Type.Object({
      duplicate: Type.Optional(
        Type.Literal(true, { description: 'it was there already; nothing was stored', examples: [true] }),
      ),
    }),
  ],
  {
    title: 'KnownMessage',
    description: 'a message; of a finished one that the history no longer holds only id and status',
    examples: [EXAMPLE_MESSAGE],
  },
)

/** What became of one message of many. */
const ItemReplyFields = {
  id: Type.Optional(
    Type.String({
      description: "the message's id; left out where a refused message has none that can be one",
      examples: ['invoice-4711-reminder'],
    }),
  ),
  status: Type.Integer({
    description:
      '201 stored; 200 known already, with the same content; 400 wrong; 409 known, with other content; 413 too large; ' +
      '503 not confirmed by Redis, so it may or may not be stored',
    examples: [201],
  }),
  detail: Type.Optional(
    Type.String({
      description: 'what is wrong, in words; left out with 200 and 201',
      examples: ['payload: is missing; it must be any JSON value'],
    }),
  ),
}

const EXAMPLE_ITEMS = [
  { id: '~0VknCBoMfN7U', status: 201 },
  { status: 400, detail: 'payload: is missing; it must be any JSON value' },
]

export const ItemReply = Type.Object(ItemReplyFields, {
  title: 'BatchResult',
  description: 'what became of one message',
  examples: EXAMPLE_ITEMS,
})
export type ItemReply = Static<typeof ItemReply>

const MOST_ITEMS = 10_000

export const BatchBody = Type.Object(
  {
    // Each message is validated by itself, as one that is wrong fails alone: here it is described and not checked.
    messages: Type.Array(Type.Unknown({ ...structuredClone(NewMessageBody) }), {
      maxItems: MOST_ITEMS,
      description: 'an array of up to 10,000 messages',
      examples: [[{ at: EXAMPLE_TIME, payload: 'good morning' }]],
    }),
  },
  {
    title: 'Batch',
    additionalProperties: false,
    description: 'a JSON object with messages, an array of up to 10,000',
    examples: [{ messages: [{ at: EXAMPLE_TIME, payload: 'good morning' }] }],
  },
)
export type BatchBody = Static<typeof BatchBody>

export const BatchReply = Type.Object(
  {
    results: Type.Array(ItemReply, {
      description: 'one for each message, in order',
      examples: [EXAMPLE_ITEMS],
    }),
  },
  {
    title: 'BatchResults',
    description: 'what became of each message',
    examples: [{ results: EXAMPLE_ITEMS }],
  },
)

/** A stream, which no schema looks into. */
export const BatchLines = Type.Unknown({
  type: 'string',
  description: 'one message a line, as JSON; any number of lines; blank ones are skipped',
  examples: [`{"at":"${EXAMPLE_TIME}","payload":"good morning"}\n{"delay":"90s","payload":"tea"}\n`],
})

export const LineReply = Type.Object(
  { line: Type.Integer({ description: 'from 1, blank lines counted', examples: [1] }), ...ItemReplyFields },
  { description: 'what became of the message on one line' },
)

export const LineReplies = Type.Unknown({
  type: 'string',
  description: 'one result a line, as JSON, in order and while the request is read: line, id, status, detail',
  examples: ['{"line":1,"id":"~0VknCBoMfN7U","status":201}\n{"line":2,"id":"~0VknCBoMfN7V","status":201}\n'],
})

export const Selection = {
  tag: Type.Optional(Tag),
  ids: Type.Optional(
    Type.Array(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "a message's id",
        examples: ['invoice-4711-reminder'],
      }),
      {
        maxItems: 10_000,
        description: 'up to 10,000 ids',
        examples: [['invoice-4711-reminder']],
      },
    ),
  ),
}

export const CancelBody = Type.Object(Selection, {
  title: 'Cancel',
  additionalProperties: false,
  description: 'a JSON object with exactly one of tag and ids',
  examples: [{ tag: 'invoices' }],
})

export const CancelReply = Type.Object(
  {
    cancelled: Type.Integer({ description: 'messages that will not be delivered', examples: [3] }),
    claimed: Type.Integer({ description: 'messages that were just being delivered, and are', examples: [0] }),
  },
  { title: 'Cancelled', description: 'how many', examples: [{ cancelled: 3, claimed: 0 }] },
)

export const ShiftBody = Type.Object(
  {
    ...Selection,
    byMs: Type.Integer({
      minimum: -253_402_300_799_999,
      maximum: 253_402_300_799_999,
      description: 'by how many ms to move them, negative for earlier',
      examples: [3_600_000],
    }),
  },
  {
    title: 'Shift',
    additionalProperties: false,
    description: 'a JSON object with byMs and exactly one of tag and ids',
    examples: [{ tag: 'invoices', byMs: 3_600_000 }],
  },
)

export const ShiftReply = Type.Object(
  { shifted: Type.Integer({ description: 'messages that were moved', examples: [3] }) },
  { title: 'Shifted', description: 'how many', examples: [{ shifted: 3 }] },
)

const TimeQuery = (more: string) =>
  Type.String({
    description: `ISO 8601 with an offset or Z, or epoch milliseconds; ${more}`,
    examples: [EXAMPLE_TIME],
  })

export const ListQuery = Type.Object(
  {
    status: Type.Optional(words(STATUSES, 'which messages (scheduled unless given)')),
    tag: Type.Optional(
      Type.String({
        ...TAG,
        description: 'a tag of 1 to 64 characters, which finds scheduled and claimed messages only',
        examples: ['invoices'],
      }),
    ),
    from: Type.Optional(
      TimeQuery('only what is due (or, if claimed, locked until; if finished or dead, ended) at it or later'),
    ),
    to: Type.Optional(TimeQuery('only what is before it, by the same time as from')),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: 'messages a page: 1 to 1000 (100 unless given)',
        examples: [100],
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        description: 'nextCursor of the page before, with the same status, tag, from and to',
        examples: ['WyIxODkzNDg4NDAwMDAwIl0'],
      }),
    ),
  },
  { additionalProperties: false, description: 'status, tag, from, to, limit and cursor' },
)

export const ListReply = Type.Object(
  {
    messages: Type.Array(MessageReply, {
      description: 'in due order; claimed ones by lock end, finished and dead ones by when they ended',
      examples: [[EXAMPLE_MESSAGE]],
    }),
    nextCursor: Type.Union([Type.String(), Type.Null()], {
      description: 'for the next page; null when there is none',
      examples: [null],
    }),
  },
  {
    title: 'MessagePage',
    description: 'one page of messages',
    examples: [{ messages: [EXAMPLE_MESSAGE], nextCursor: null }],
  },
)

export const ForecastQuery = Type.Object(
  {
    from: Type.Optional(TimeQuery('where the first bucket begins (now unless given)')),
    to: Type.Optional(TimeQuery('where the last bucket ends (an hour after from unless given)')),
    bucketMs: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 253_402_300_799_999,
        description:
          'how long each bucket is, ms: 1 or more (60000 unless given), and at most 1000 buckets between from and to',
        examples: [60_000],
      }),
    ),
  },
  { additionalProperties: false, description: 'from (now), to (an hour later) and bucketMs (60000)' },
)

export const ForecastReply = Type.Object(
  {
    buckets: Type.Array(
      Type.Object(
        {
          at: TimeOut('where the bucket begins'),
          count: Type.Integer({
            description: 'scheduled messages due from there to the next bucket',
            examples: [12],
          }),
        },
        { title: 'Bucket', description: 'a span of time', examples: [{ at: EXAMPLE_TIME, count: 12 }] },
      ),
      {
        description: 'from first to last, empty ones included',
        examples: [[{ at: EXAMPLE_TIME, count: 12 }]],
      },
    ),
  },
  {
    title: 'Forecast',
    description: 'the load ahead',
    examples: [{ buckets: [{ at: EXAMPLE_TIME, count: 12 }] }],
  },
)

const EXAMPLE_STATS = {
  counts: { scheduled: 120, claimed: 0, dead: 0 },
  oldestOverdueMs: 0,
  servers: [{ id: 'k2Jd9sLq0aXz', startedAt: EXAMPLE_TIME, roles: ['api', 'worker'], version: '0.1.0' }],
  redis: { version: '8.0.2', usedMemoryBytes: 1_048_576, maxMemoryBytes: 0 },
}

export const StatsReply = Type.Object(
  {
    counts: Type.Object(
      {
        scheduled: Type.Integer({ description: 'messages that wait for their time', examples: [120] }),
        claimed: Type.Integer({ description: 'messages that are being delivered', examples: [0] }),
        dead: Type.Integer({ description: 'messages that were given up and are kept', examples: [0] }),
      },
      { description: 'messages by state', examples: [EXAMPLE_STATS.counts] },
    ),
    oldestOverdueMs: Type.Integer({
      description: 'for how long the longest overdue message has been, ms; 0 when none is',
      examples: [0],
    }),
    servers: Type.Array(
      Type.Object(
        {
          id: Type.String({ description: 'new with every start', examples: ['k2Jd9sLq0aXz'] }),
          startedAt: TimeOut('when it started'),
          roles: Type.Array(Type.String({ description: 'api or worker', examples: ['api'] }), {
            description: 'what it does: takes requests (api), delivers (worker), or both',
            examples: [['api', 'worker']],
          }),
          version: Type.String({ description: 'the version of Carillon it runs', examples: ['0.1.0'] }),
        },
        { title: 'Server', description: 'a server', examples: EXAMPLE_STATS.servers },
      ),
      { description: 'the servers that are alive', examples: [EXAMPLE_STATS.servers] },
    ),
    redis: Type.Object(
      {
        version: Type.String({ description: 'its version', examples: ['8.0.2'] }),
        usedMemoryBytes: Type.Integer({ description: 'memory in use, bytes', examples: [1_048_576] }),
        maxMemoryBytes: Type.Integer({
          description: 'memory it may use, bytes; 0 for no limit',
          examples: [0],
        }),
      },
      { description: 'the Redis that keeps the messages', examples: [EXAMPLE_STATS.redis] },
    ),
  },
  { title: 'Stats', description: 'what there is, and who serves it', examples: [EXAMPLE_STATS] },
)

const EXAMPLE_FIELD_ERROR = {
  path: '/at',
  message: 'looks like seconds: it must be epoch milliseconds (or ISO 8601)',
}
const EXAMPLE_PROBLEM = {
  type: 'about:blank',
  title: 'Bad Request',
  status: 400,
  detail: `at: ${EXAMPLE_FIELD_ERROR.message}`,
  errors: [EXAMPLE_FIELD_ERROR],
}

/** RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({
      description: 'about:blank, or a URN for each kind of failure that programs may want to tell apart',
      examples: ['about:blank', 'urn:carillon:problem:message-not-found'],
    }),
    title: Type.String({ description: "the status's name", examples: ['Bad Request'] }),
    status: Type.Integer({ description: 'the HTTP status', examples: [400] }),
    detail: Type.String({ description: 'what is wrong, in words', examples: [EXAMPLE_PROBLEM.detail] }),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Type.String({ description: 'JSON pointer to the field, "" for all', examples: ['/at'] }),
            message: Type.String({
              description: 'what is wrong with it',
              examples: [EXAMPLE_FIELD_ERROR.message],
            }),
          },
          { title: 'FieldError', description: 'a field that is wrong', examples: [EXAMPLE_FIELD_ERROR] },
        ),
        { description: 'the fields that are wrong, 20 at most', examples: [EXAMPLE_PROBLEM.errors] },
      ),
    ),
  },
  { title: 'Problem', description: 'what went wrong (RFC 9457)', examples: [EXAMPLE_PROBLEM] },
)

export const IdParams = Type.Object({
  id: Type.String({ description: "a message's id", examples: ['invoice-4711-reminder'] }),
})

export const IfMatchHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      description: 'ETags, comma-separated, or *: the message must be at one of these versions',
      examples: ['"1"'],
    }),
  ),
})
