// Preloaded by the memory scenario: on SIGUSR2, the process collects its garbage, so that only
// memory in use is counted.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
process.on('SIGUSR2', () => {
  collect()
  collect()
})
