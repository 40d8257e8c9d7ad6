/** Ten thousand clients at once, where the limit on descriptors lets us have them; see ../hostile.ts. */
process.env['CROWD'] ??= '10000'
await import('../hostile.ts')
