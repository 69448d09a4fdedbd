import { Counter, type Registry } from 'prom-client'
import type { Metrics } from './metrics.ts'

const ACTIONS = ['cancel', 'shift', 'redrive', 'delete', 'deliver'] as const
const STATES = ['done', 'stopped', 'failed'] as const

/** What operations report; every series is there from the start, with 0. */
export function operationMetrics(
  registers: Registry[],
): Pick<Metrics, 'operationStepped' | 'operationEnded'> {
  const ended = new Counter({
    name: 'carillon_operations_total',
    help: 'Operations that have ended',
    labelNames: ['action', 'state'],
    registers,
  })
  const messages = new Counter({
    name: 'carillon_operation_messages_total',
    help: 'Messages that operations have acted on, or could not act on',
    labelNames: ['action', 'outcome'],
    registers,
  })
  for (const action of ACTIONS) {
    for (const state of STATES) ended.inc({ action, state }, 0)
    for (const outcome of ['done', 'failed']) messages.inc({ action, outcome }, 0)
  }
  return {
    operationStepped(action, done, failed) {
      messages.inc({ action, outcome: 'done' }, done)
      messages.inc({ action, outcome: 'failed' }, failed)
    },
    operationEnded: (action, state) => ended.inc({ action, state }),
  }
}
