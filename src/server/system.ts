import { parseApiKeys } from '../http/plugins/api-keys.ts'
import type { System } from '../http/v1/system/schemas.ts'
import type { ServerInfo } from '../membership/membership.ts'
import { toIso } from '../runtime/iso-time.ts'
import type { RedisDetails } from '../store/requirements.ts'
import { type Config, withoutPassword } from './config.ts'
import { SETTINGS, type SettingFacts } from './settings.ts'

export interface SystemDeps {
  readonly config: Config
  readonly servers: () => Promise<ServerInfo[]>
  readonly shards: () => number
  readonly redisDetails: () => Promise<RedisDetails>
}

/** @returns asks for what the service consists of, secrets left out */
export function createSystem({ config, servers, shards, redisDetails }: SystemDeps): () => Promise<System> {
  const settings = Object.entries<SettingFacts>(SETTINGS.properties).map(([name, { secret }]) => ({
    name,
    value: shown(config[name as keyof Config], secret === true),
  }))
  const keys = parseApiKeys(config.API_KEYS ?? '').map(({ name, scopes }) => ({ name, scopes: [...scopes] }))
  return async () => {
    const [known, redis] = await Promise.all([servers(), redisDetails()])
    return { servers: known.map(toServer), shards: shards(), redis: { ...redis }, settings, keys }
  }
}

function toServer({ id, startedAt, roles, version, stuck, load }: ServerInfo): System['servers'][number] {
  const { inFlight = null, capacity = null, loopDelayMs = null, oldestSince = null, full = [] } = load ?? {}
  return {
    ...{ id, startedAt: toIso(startedAt), roles: [...roles], version, stuck },
    ...{ inFlight, capacity, loopDelayMs, oldestSince: oldestSince === null ? null : toIso(oldestSince) },
    full: full.map((each) => ({ ...each, oldestSince: toIso(each.oldestSince) })),
  }
}

/** A setting's value as it would be given. */
function shown(value: unknown, isSecret: boolean): string | null {
  if (value === undefined) return null
  return isSecret ? '***' : withoutPassword(String(value))
}
