import { inject } from 'vitest'
import { describeMessageScripts } from '../../contract/messages.contract.ts'

describeMessageScripts('one Redis', () => inject('redisUrl'), 0)
