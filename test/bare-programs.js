// Loaded into every test before it: tap's loader, which tells tap what a process imported, stays out of the
// programs that a test starts. They begin as they do elsewhere, in half the time; Node itself writes down what they covered.
import processOnSpawn from 'process-on-spawn'

processOnSpawn.removeAllListeners()
delete process.env.NODE_OPTIONS
for (const name of Object.keys(process.env))
  if (name.startsWith('_TAPJS_PROCESSINFO_')) delete process.env[name]
