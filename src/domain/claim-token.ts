/**
 * Tokens of a server's claims: `<server id>:<number>:<made at, base 36>`. To prove a claim, a token only has to be
 * unique; what it tells of its claim costs no command.
 *
 * @param now Redis's clock as last read, epoch ms
 */
export function createClaimTokens(serverId: string, now: () => number): () => string {
  let claims = 0
  return () => {
    claims += 1
    return `${serverId}:${claims}:${Math.floor(now()).toString(36)}`
  }
}

const TOKEN = /^([\w-]+):\d+(?::([\da-z]{1,10}))?$/

/** @returns undefined for a worker's secret; `at` is null in the tokens of older versions */
export function readClaimToken(token: string): { server: string; at: number | null } | undefined {
  const [, server, at] = TOKEN.exec(token) ?? []
  if (server === undefined) return undefined
  return { server, at: at === undefined ? null : Number.parseInt(at, 36) }
}

/** The server of a token of ours, without a look at the rest. */
export const serverOf = (token: string): string => token.slice(0, Math.max(0, token.indexOf(':')))
