import { Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut } from '../../validation/fields.schemas.ts'

const EXAMPLE_STATS = {
  counts: { scheduled: 120, claimed: 0, dead: 0 },
  oldestOverdueMs: 0,
  servers: [{ id: 'k2Jd9sLq0aXz', startedAt: EXAMPLE_TIME, roles: ['api', 'worker'], version: '0.1.0' }],
  shards: 1,
  streams: [{ name: 'invoices', keys: ['{carillon:0}:stream:invoices'] }],
  redis: { version: '8.0.2', usedMemoryBytes: 1_048_576, maxMemoryBytes: 0 },
}

export const StatsReply = Type.Object(
  {
    counts: Type.Object(
      {
        scheduled: Type.Integer({ description: 'messages that wait for their time', examples: [120] }),
        claimed: Type.Integer({ description: 'messages that are being delivered', examples: [0] }),
        dead: Type.Integer({ description: 'messages that were given up and are kept', examples: [0] }),
        stranded: Type.Optional(
          Type.Integer({
            description:
              'messages that are stored but in no state, as somebody else has changed what Redis holds; left out where there are none',
            examples: [1],
          }),
        ),
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
    shards: Type.Integer({ description: 'groups of keys that messages are spread over', examples: [1] }),
    streams: Type.Array(
      Type.Object(
        {
          name: Type.String({ description: 'as in the destination', examples: ['invoices'] }),
          keys: Type.Array(
            Type.String({ description: 'a key in Redis', examples: ['{carillon:0}:stream:invoices'] }),
            {
              description: 'its keys in Redis, one a shard; a consumer reads all of them',
              examples: [['{carillon:0}:stream:invoices']],
            },
          ),
        },
        { title: 'Stream', description: 'a stream', examples: EXAMPLE_STATS.streams },
      ),
      { description: 'the streams that messages were delivered to', examples: [EXAMPLE_STATS.streams] },
    ),
    redis: Type.Object(
      {
        version: nullable(Type.String(), 'its version', ['8.0.2']),
        usedMemoryBytes: nullable(Type.Integer(), 'memory in use, bytes', [1_048_576]),
        maxMemoryBytes: nullable(Type.Integer(), 'memory it may use, bytes; 0 for no limit', [0]),
      },
      {
        description:
          'the Redis that keeps the messages; null for what it does not tell, as without the right to INFO',
        examples: [EXAMPLE_STATS.redis],
      },
    ),
  },
  { title: 'Stats', description: 'what there is, and who serves it', examples: [EXAMPLE_STATS] },
)
