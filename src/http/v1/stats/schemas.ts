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
        scheduled: Type.Integer({ description: 'messages that wait for their due time', examples: [120] }),
        claimed: Type.Integer({ description: 'messages that are being delivered', examples: [0] }),
        dead: Type.Integer({ description: 'dead letters', examples: [0] }),
        stranded: Type.Optional(
          Type.Integer({
            description:
              'messages that are stored but in no state, because another program has changed the data in Redis; ' +
              'omitted if there are none',
            examples: [1],
          }),
        ),
      },
      { description: 'messages by status', examples: [EXAMPLE_STATS.counts] },
    ),
    oldestOverdueMs: Type.Integer({
      description: 'how late the oldest overdue message is, ms; 0 if none is overdue',
      examples: [0],
    }),
    servers: Type.Array(
      Type.Object(
        {
          id: Type.String({
            description: "the server's id, new with every start",
            examples: ['k2Jd9sLq0aXz'],
          }),
          startedAt: TimeOut('when it started'),
          roles: Type.Array(Type.String({ description: 'api or worker', examples: ['api'] }), {
            description: 'api accepts messages, worker delivers them',
            examples: [['api', 'worker']],
          }),
          version: Type.String({ description: 'its version of Carillon', examples: ['0.1.0'] }),
        },
        { title: 'Server', description: 'a server', examples: EXAMPLE_STATS.servers },
      ),
      { description: 'the servers that are alive', examples: [EXAMPLE_STATS.servers] },
    ),
    shards: Type.Integer({
      description: 'number of shards: groups of keys that messages are spread over',
      examples: [1],
    }),
    streams: Type.Array(
      Type.Object(
        {
          name: Type.String({
            description: 'the name of the stream, as in the destination',
            examples: ['invoices'],
          }),
          keys: Type.Array(
            Type.String({ description: 'a key in Redis', examples: ['{carillon:0}:stream:invoices'] }),
            {
              description: 'its keys in Redis, one per shard; a consumer reads all of them',
              examples: [['{carillon:0}:stream:invoices']],
            },
          ),
        },
        { title: 'Stream', description: 'a stream', examples: EXAMPLE_STATS.streams },
      ),
      { description: 'the streams with messages', examples: [EXAMPLE_STATS.streams] },
    ),
    redis: Type.Object(
      {
        version: nullable(Type.String(), 'the version of Redis', ['8.0.2']),
        usedMemoryBytes: nullable(Type.Integer(), 'used memory, bytes', [1_048_576]),
        maxMemoryBytes: nullable(Type.Integer(), 'maxmemory, bytes; 0 for no limit', [0]),
      },
      {
        description: 'the Redis that stores the messages; null if it does not answer INFO',
        examples: [EXAMPLE_STATS.redis],
      },
    ),
  },
  {
    title: 'Stats',
    description: 'counts, live servers, streams, and the memory of Redis',
    examples: [EXAMPLE_STATS],
  },
)
