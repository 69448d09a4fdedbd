import { inject } from 'vitest'
import { MESSAGES } from '../../contract/all-messages.ts'

for (const describeContract of MESSAGES) describeContract('one Redis', () => inject('redisUrl'), 0)
