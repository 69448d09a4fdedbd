import { getContainerRuntimeClient } from 'testcontainers'

/**
 * Whether a Docker-compatible engine answers.
 * @throws Error when none does though CARILLON_TEST_CONTAINERS=required says that it must
 */
export async function engineAnswers(): Promise<boolean> {
  try {
    await getContainerRuntimeClient()
    return true
  } catch (error) {
    if (process.env.CARILLON_TEST_CONTAINERS !== 'required') return false
    throw new Error('CARILLON_TEST_CONTAINERS is required, but no container engine answers', { cause: error })
  }
}
