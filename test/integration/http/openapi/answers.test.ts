import { expect, it } from 'vitest'
import { describeAnswers } from './answers.ts'
import { NOT_PROVOKED, operations, seen, statusesOf } from './documented.ts'
import { describeFailures } from './failures.ts'
import { describeRefusals } from './refusals.ts'

describeAnswers()
describeRefusals()
describeFailures()

it('the tests provoked everything that the document says', () => {
  const documented = operations.flatMap(([name, operation]) =>
    statusesOf(operation).map((status) => `${name} ${status}`),
  )
  const untried = documented.filter((each) => !seen.has(each) && !(each in NOT_PROVOKED))
  expect(untried).toEqual([])
})
