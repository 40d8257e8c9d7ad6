/** A million lines to the parser and 50,000 messages to the socket; see ../fuzz.ts. */
process.env['FUZZ_LINES'] ??= '1000000'
process.env['FUZZ_MESSAGES'] ??= '50000'
await import('../fuzz.ts')
