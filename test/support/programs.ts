import { spawnSync } from 'node:child_process'

/** Where Debian installs servers. It is not on every PATH. */
export const PATH_OF_PROGRAMS = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`

/** The proxies with an example in the docs, and the argument that prints the version of each. */
const PROXIES = { nginx: ['-v'], caddy: ['version'] } as const
export type ProxyName = keyof typeof PROXIES

/** @returns the proxies that this machine does not have */
export const missingProxies = (): ProxyName[] =>
  (Object.keys(PROXIES) as ProxyName[]).filter(
    (name) => spawnSync(name, PROXIES[name], { env: { PATH: PATH_OF_PROGRAMS } }).status !== 0,
  )
