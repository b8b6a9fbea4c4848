import { parentPort } from 'node:worker_threads'
import { clock } from '../../src/clock.js'

parentPort?.on('message', () => parentPort?.postMessage(clock()))
