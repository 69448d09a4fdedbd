import type { Destination, RecordForm } from '../domain/message.ts'
import { fromJsonForm, toJsonForm } from './json-form.ts'
import { kindOf } from './registry.ts'

/** As it is stored; "" for the console, and for no spelling. */
export interface StoredDestination {
  readonly text: string
  readonly spelling: string
}

export function toStored(destination: Destination, form: RecordForm): StoredDestination {
  const old = form === 1 ? toJsonForm(destination) : undefined
  if (old !== undefined) return { text: old.text, spelling: old.spelling ?? '' }
  const kind = kindOf(destination.type)
  if (kind === undefined) throw new TypeError(`no destination is of type ${destination.type}`)
  const rest = kind.restOf(destination)
  const lane = kind.laneOf(destination)
  return { text: rest === '' ? lane : `${lane} ${rest}`, spelling: '' }
}

/** @returns undefined if it has neither form: another program has changed it */
export function fromStored(
  text: string,
  spelling: string | undefined,
): { lane: string; destination: Destination } | undefined {
  if (text.startsWith('{')) return fromJsonForm({ text, spelling })
  const [, lane = '', type = '', rest = ''] = /^((\w+)(?::\S*)?)(?: (.*))?$/.exec(text) ?? []
  const destination = kindOf(type)?.read(lane, rest)
  return destination === undefined ? undefined : { lane, destination }
}
