/** What may be a part of a path: clients and proxies take . and .. for steps in it, and leave them out. */
export const CLIENT_ID = '^(?!\\.{1,2}$)[A-Za-z0-9._:-]{1,128}$'
export const CLIENT_ID_WORDS = '1 to 128 of A-Z a-z 0-9 . _ : - (but not . or ..)'

/** Of a stream or a queue. */
export const NAME = { pattern: CLIENT_ID, description: `a name of ${CLIENT_ID_WORDS}` }
