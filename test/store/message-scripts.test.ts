import { inject } from 'vitest'
import { describeMessageScripts } from './message-promises.ts'

describeMessageScripts('one Redis', () => inject('redisUrl'), 0)
