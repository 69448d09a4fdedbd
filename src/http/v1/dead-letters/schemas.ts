import { Type } from '@sinclair/typebox'
import { GROUPINGS } from '../../../messages/dead-groups.ts'
import { EXAMPLE_TIME, Ids, MessageId, Tag, TimeOut, words } from '../../validation/fields.schemas.ts'

const Selection = {
  ids: Type.Optional(Ids),
  tag: Type.Optional(Tag),
  all: Type.Optional(Type.Literal(true, { description: 'true', examples: [true] })),
}

export const RedriveBody = Type.Object(
  {
    ...Selection,
    perSecond: Type.Optional(
      Type.Number({
        minimum: 0.000_001,
        maximum: 1_000_000,
        description: '0.000001 to 1000000 messages per second (default: all at once)',
        examples: [50],
      }),
    ),
  },
  {
    title: 'Redrive',
    additionalProperties: false,
    description: 'a JSON object with exactly one of ids, tag and all, and optionally perSecond',
    examples: [{ tag: 'invoices', perSecond: 50 }, { all: true }],
  },
)

export const RedriveReply = Type.Object(
  {
    redriven: Type.Integer({ description: 'dead letters that are scheduled again', examples: [3] }),
    unreadable: Type.Optional(
      Type.Integer({
        description: 'unreadable dead letters, which stay dead; omitted if there are none',
        examples: [1],
      }),
    ),
    unknown: Type.Array(MessageId, {
      description: 'the ids that no dead letter has',
      examples: [['invoice-4711-reminder']],
    }),
  },
  { title: 'Redriven', description: 'the number of messages', examples: [{ redriven: 3, unknown: [] }] },
)

export const DeleteDeadBody = Type.Object(Selection, {
  title: 'DeleteDead',
  additionalProperties: false,
  description: 'a JSON object with exactly one of ids, tag and all',
  examples: [{ tag: 'invoices' }, { all: true }],
})

export const DeleteDeadReply = Type.Object(
  { deleted: Type.Integer({ description: 'dead letters that were deleted', examples: [3] }) },
  { title: 'DeletedDead', description: 'the number of messages', examples: [{ deleted: 3 }] },
)

export const GroupsQuery = Type.Object(
  { by: Type.Optional(words(GROUPINGS, 'what the dead letters of a group have in common')) },
  { additionalProperties: false, description: 'by' },
)

const EXAMPLE_GROUP = {
  ...{ key: 'status 503', count: 3, first: EXAMPLE_TIME, last: EXAMPLE_TIME },
  sample: ['invoice-4711-reminder'],
}

export const GroupsReply = Type.Object(
  {
    groups: Type.Array(
      Type.Object(
        {
          key: Type.String({
            description: 'the reason, the destination (as the filter destination has it), or the tag',
            examples: [EXAMPLE_GROUP.key],
          }),
          count: Type.Integer({ description: 'dead letters in this group', examples: [EXAMPLE_GROUP.count] }),
          first: TimeOut('when the first of them became a dead letter'),
          last: TimeOut('when the last of them did'),
          sample: Type.Array(MessageId, {
            description: 'the ids of the newest, 3 at most',
            examples: [EXAMPLE_GROUP.sample],
          }),
        },
        { title: 'DeadGroup', description: 'a group of dead letters', examples: [EXAMPLE_GROUP] },
      ),
      { description: 'the largest groups first, 1,000 at most', examples: [[EXAMPLE_GROUP]] },
    ),
    omitted: Type.Optional(
      Type.Integer({
        description: 'how many smaller groups are not listed; omitted if none is',
        examples: [12],
      }),
    ),
    searched: Type.Optional(
      Type.Literal('part', {
        description: 'only the newest dead letters were looked at, 100,000 in all; omitted if all were',
        examples: ['part'],
      }),
    ),
  },
  {
    title: 'DeadGroups',
    description: 'groups of dead letters',
    examples: [{ groups: [EXAMPLE_GROUP] }],
  },
)
