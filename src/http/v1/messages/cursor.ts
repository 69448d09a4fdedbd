import { createHash } from 'node:crypto'
import type { Position } from '../../../messages/listing.ts'
import { InvalidRequestError } from '../../validation/validation.ts'

/** A cursor belongs to the filters it was made under. */
const markOf = (filters: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(filters)).digest('base64url').slice(0, 8)

export function encodeCursor({ score, id }: Position, filters: readonly unknown[]): string {
  return Buffer.from(JSON.stringify([markOf(filters), score, id])).toString('base64url')
}

/** @throws InvalidRequestError for one that is broken or of another query */
export function decodeCursor(cursor: string, filters: readonly unknown[]): Position {
  const [mark, score, id] = parse(cursor)
  if (typeof score !== 'string' || !/^\d{1,16}$/.test(score) || typeof id !== 'string' || id === '') {
    throw broken()
  }
  if (mark !== markOf(filters)) {
    throw new InvalidRequestError([
      { path: '/cursor', message: 'was issued for a query with different filters' },
    ])
  }
  const position = { score, id }
  if (encodeCursor(position, filters) !== cursor) throw broken()
  return position
}

const broken = () =>
  new InvalidRequestError([{ path: '/cursor', message: 'must be the nextCursor of an earlier page' }])

function parse(cursor: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    return Array.isArray(parsed) ? parsed : []
  } catch {
    return []
  }
}
