import { type Static, Type } from '@sinclair/typebox'
import { EXAMPLE_TIME, nullable, TimeOut } from '../../validation/fields.schemas.ts'

const EXAMPLE_FULL = { lane: 'webhook:https://api.shop', inFlight: 32, limit: 32, oldestSince: EXAMPLE_TIME }
const EXAMPLE_SERVER = {
  ...{
    id: 'k2Jd9sLq0aXz',
    startedAt: EXAMPLE_TIME,
    roles: ['api', 'worker'],
    version: '0.1.0',
    stuck: false,
  },
  ...{ inFlight: 41, capacity: 256, loopDelayMs: 2, oldestSince: EXAMPLE_TIME, full: [EXAMPLE_FULL] },
}
const EXAMPLE_REDIS = {
  ...{ version: '8.0.2', usedMemoryBytes: 1_048_576, maxMemoryBytes: 0, maxMemoryPolicy: 'noeviction' },
  ...{ appendOnly: true, pingMs: 0.3 },
}
const EXAMPLE_SETTINGS = [
  { name: 'PORT', value: '3000' },
  { name: 'API_KEYS', value: '***' },
]
const EXAMPLE_KEYS = [{ name: 'shop', scopes: ['read', 'write'] }]
const EXAMPLE_SYSTEM = {
  ...{ servers: [EXAMPLE_SERVER], shards: 1, redis: EXAMPLE_REDIS, settings: EXAMPLE_SETTINGS },
  keys: EXAMPLE_KEYS,
}

const text = (description: string, example: string) => Type.String({ description, examples: [example] })

const FullLane = Type.Object(
  {
    lane: text('the lane of the host', EXAMPLE_FULL.lane),
    inFlight: Type.Integer({ description: 'deliveries to it under way', examples: [32] }),
    limit: Type.Integer({ description: 'how many there may be at a time on this server', examples: [32] }),
    oldestSince: TimeOut('when the oldest of them began'),
  },
  { title: 'FullLane', description: 'a host without a free slot', examples: [EXAMPLE_FULL] },
)

const Server = Type.Object(
  {
    id: text("the server's id, new with every start", EXAMPLE_SERVER.id),
    startedAt: TimeOut('when it started'),
    roles: Type.Array(text('api or worker', 'api'), {
      description: 'api accepts messages, worker delivers them',
      examples: [EXAMPLE_SERVER.roles],
    }),
    version: text('its version of Carillon', EXAMPLE_SERVER.version),
    stuck: Type.Boolean({ description: 'whether nobody reads its console', examples: [false] }),
    inFlight: nullable(Type.Integer(), 'webhooks that it is delivering', [41]),
    capacity: nullable(Type.Integer(), 'how many it may deliver at a time; 0 without the role worker', [256]),
    loopDelayMs: nullable(Type.Integer(), 'the longest delay of its event loop in the last 5 s, ms', [2]),
    oldestSince: nullable(TimeOut('when the oldest began'), 'when its oldest delivery began; null for none', [
      EXAMPLE_TIME,
      null,
    ]),
    full: Type.Array(FullLane, {
      description: 'hosts that took all of their slots lately',
      examples: [[EXAMPLE_FULL]],
    }),
  },
  {
    title: 'SystemServer',
    description: 'a server at its last heartbeat; numbers of servers of older versions are null',
    examples: [EXAMPLE_SERVER],
  },
)

const SystemRedis = Type.Object(
  {
    version: nullable(Type.String(), 'its version', ['8.0.2']),
    usedMemoryBytes: nullable(Type.Integer(), 'used memory, bytes', [1_048_576]),
    maxMemoryBytes: nullable(Type.Integer(), 'maxmemory, bytes; 0 for no limit', [0]),
    maxMemoryPolicy: nullable(Type.String(), 'maxmemory-policy', ['noeviction']),
    appendOnly: nullable(Type.Boolean(), 'whether its append-only file is on', [true]),
    pingMs: nullable(Type.Number(), 'duration of a PING, ms', [0.3]),
  },
  {
    title: 'SystemRedis',
    description: 'the Redis that stores the messages; null for what it does not report',
    examples: [EXAMPLE_REDIS],
  },
)

export const SystemReply = Type.Object(
  {
    servers: Type.Array(Server, {
      description: 'the servers that are alive',
      examples: [[EXAMPLE_SERVER]],
    }),
    shards: Type.Integer({ description: 'number of shards', examples: [1] }),
    redis: SystemRedis,
    settings: Type.Array(
      Type.Object(
        {
          name: text('the name of the setting', 'PORT'),
          value: nullable(Type.String(), 'its value as text, *** in place of a secret; null if unset', [
            '3000',
          ]),
        },
        { title: 'SettingInForce', description: 'a setting of this server', examples: EXAMPLE_SETTINGS },
      ),
      { description: 'the settings of the server that answers', examples: [EXAMPLE_SETTINGS] },
    ),
    keys: Type.Array(
      Type.Object(
        {
          name: text('the name of the key', 'shop'),
          scopes: Type.Array(text('a scope', 'read'), {
            description: 'what it may do',
            examples: [['read', 'write']],
          }),
        },
        { title: 'KnownKey', description: 'an API key, without the key', examples: EXAMPLE_KEYS },
      ),
      { description: 'the API keys of the server that answers', examples: [EXAMPLE_KEYS] },
    ),
  },
  { title: 'System', description: 'servers, Redis, settings and keys', examples: [EXAMPLE_SYSTEM] },
)
export type System = Static<typeof SystemReply>
