import { spawnSync } from 'node:child_process'

/** Where Debian has its servers, which is not on everybody's PATH. */
export const PATH_OF_PROGRAMS = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

/** Proxies that the docs have an example for, and how each says its version. */
const PROXIES = { nginx: ['-v'], caddy: ['version'] } as const
export type ProxyName = keyof typeof PROXIES

/** Those that are not on this machine. */
export const missingProxies = (): ProxyName[] =>
  (Object.keys(PROXIES) as ProxyName[]).filter(
    (name) => spawnSync(name, PROXIES[name], { env: { PATH: PATH_OF_PROGRAMS } }).status !== 0,
  )
